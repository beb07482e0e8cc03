"""The engine's own families: what it says about itself on its `/metrics`."""

from __future__ import annotations

from algowatch.catalog.families import Family

ENGINE = "engine"

ENGINE_INFO = Family("algowatch_engine_info", "gauge", "Always 1; the version of the engine", ("version",), profiles=(ENGINE,))
SCRAPES = Family(
    "algowatch_engine_scrapes_total",
    "counter",
    "Scrapes that ended, by job and by whether the target answered; a rate below the number of targets is a late engine",
    ("job", "outcome"),
    profiles=(ENGINE,),
)
SCRAPED_SAMPLES = Family(
    "algowatch_engine_scraped_samples_total", "counter", "Samples that scrapes brought", ("job",), profiles=(ENGINE,)
)
STORE_SERIES = Family("algowatch_store_series", "gauge", "Series in the store, old ones included", profiles=(ENGINE,))
STORE_SAMPLES = Family("algowatch_store_samples", "gauge", "Samples in the store", profiles=(ENGINE,))
STORE_BYTES = Family("algowatch_store_bytes", "gauge", "Size of the store's database file", profiles=(ENGINE,))
STORE_WAL_BYTES = Family(
    "algowatch_store_wal_bytes",
    "gauge",
    "Size of the write-ahead log; one that only grows means that something holds an old read open",
    profiles=(ENGINE,),
)
STORE_DAMAGED = Family(
    "algowatch_store_damaged_chunks",
    "gauge",
    "Chunks whose checksum failed since the start; above 0: restore a backup",
    profiles=(ENGINE,),
)
STORE_FAILED_APPENDS = Family(
    "algowatch_store_failed_appends_total",
    "counter",
    "Scrapes, rule results and received requests that could not be stored: the disk is full or cannot be written, or the "
    "clock was set back; /api/v1/targets says which",
    profiles=(ENGINE,),
)
STORE_FAILED_UPKEEP = Family(
    "algowatch_store_failed_upkeep_total",
    "counter",
    "Rounds of sealing, merging and deleting that failed; everything stored stays readable, and the next round tries again",
    profiles=(ENGINE,),
)
REMOTE_WRITE_SAMPLES = Family(
    "algowatch_remote_write_samples_total",
    "counter",
    "Samples for a remote write receiver, by what became of them: sent, retried (will be sent) or dropped (it refused them)",
    ("receiver", "outcome"),
    profiles=(ENGINE,),
)
REMOTE_WRITE_BEHIND = Family(
    "algowatch_remote_write_behind_seconds",
    "gauge",
    "Age of the oldest sample that a remote write receiver has not got; one that grows is a receiver that is away or too slow",
    ("receiver",),
    profiles=(ENGINE,),
)
REMOTE_WRITE_UNSENT = Family(
    "algowatch_remote_write_abandoned_samples_total",
    "counter",
    "Samples that were not sent because a receiver was away for too long; they are still in this store",
    profiles=(ENGINE,),
)
NOTIFICATIONS = Family(
    "algowatch_notifications_total",
    "counter",
    "Notifications by receiver and by what became of them: sent, retried or failed (given up)",
    ("receiver", "outcome"),
    profiles=(ENGINE,),
)
NOTIFICATIONS_QUEUED = Family(
    "algowatch_notifications_queued",
    "gauge",
    "Notifications waiting for a receiver; one that stays above 0 is a receiver that does not answer",
    ("receiver",),
    profiles=(ENGINE,),
)
LIVE_STREAMS = Family("algowatch_live_streams", "gauge", "Pages that are open and watching", profiles=(ENGINE,))

RELOAD_SUCCESSFUL = Family(
    "algowatch_engine_config_last_reload_successful",
    "gauge",
    "1 where the configuration files were right when they were last read, 0 where the engine goes on with older ones",
    profiles=(ENGINE,),
)
RELOADED_AT = Family(
    "algowatch_engine_config_last_reload_success_timestamp_seconds",
    "gauge",
    "When the configuration in use was read, in seconds since the epoch",
    profiles=(ENGINE,),
)

ENGINE_FAMILIES = (
    ENGINE_INFO,
    SCRAPES,
    SCRAPED_SAMPLES,
    STORE_SERIES,
    STORE_SAMPLES,
    STORE_BYTES,
    STORE_WAL_BYTES,
    STORE_DAMAGED,
    STORE_FAILED_APPENDS,
    STORE_FAILED_UPKEEP,
    REMOTE_WRITE_SAMPLES,
    REMOTE_WRITE_BEHIND,
    REMOTE_WRITE_UNSENT,
    NOTIFICATIONS,
    NOTIFICATIONS_QUEUED,
    LIVE_STREAMS,
    RELOAD_SUCCESSFUL,
    RELOADED_AT,
)
