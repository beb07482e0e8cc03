"""What must survive `kill -9`: messages before they are sent, alerts of bots, silences, what was told, the delivery record.

One SQLite file (`state.db`), written by one thread. Every commit waits for the disk (`synchronous=FULL`), which takes
milliseconds on a good one and much longer on a busy one: so no statement ever runs on the event loop. Jobs that came while
a commit was waiting share the next one.
"""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from algowatch.errors import StoreError
from algowatch.model.alerts import Alert
from algowatch.notify.acks import Ack
from algowatch.notify.notified import Told
from algowatch.notify.pipeline import ChannelKey, Notification
from algowatch.notify.silences import Silence, matcher_from_json, matcher_to_json
from algowatch.senders.message import alert_from_dict, alert_to_dict, to_json

FILE_NAME = "state.db"
_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE outbox (id INTEGER PRIMARY KEY, channel TEXT NOT NULL, group_key TEXT NOT NULL, message TEXT NOT NULL,
  created_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, next_attempt_ms INTEGER NOT NULL, error TEXT NOT NULL) STRICT;
CREATE TABLE told (group_key TEXT NOT NULL, channel TEXT NOT NULL, firing TEXT NOT NULL, resolved TEXT NOT NULL,
  at_ms INTEGER NOT NULL, again_after_ms INTEGER NOT NULL, PRIMARY KEY (group_key, channel)) STRICT, WITHOUT ROWID;
CREATE TABLE alerts (labels TEXT PRIMARY KEY, alert TEXT NOT NULL, ends_at_ms INTEGER NOT NULL, posted INTEGER NOT NULL,
  saved_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE silences (id TEXT PRIMARY KEY, silence TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE deliveries (id TEXT PRIMARY KEY, delivered_ms INTEGER NOT NULL, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_time ON deliveries (delivered_ms);
"""
_SINCE_2 = """
ALTER TABLE outbox ADD COLUMN tries TEXT NOT NULL DEFAULT '[]';
CREATE TABLE acks (fingerprint TEXT PRIMARY KEY, ack TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""

_log = logging.getLogger("algowatch.notify")

Job = Callable[[sqlite3.Connection], None]
Done = Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Pending:
    """One message that is not delivered yet. `message` is JSON, as `senders.message.to_json` writes it.

    tries: when, and what came of it.
    """

    id: int
    channel: ChannelKey
    group_key: str
    message: str
    created_ms: int
    attempts: int = 0
    next_attempt_ms: int = 0
    error: str = ""
    tries: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the file held when it was opened.

    alerts:  with each, whether it was posted by somebody who may not send it again, and when it was written.
    records: newest first.
    """

    pending: Sequence[Pending]
    told: dict[tuple[str, ChannelKey], Told]
    alerts: Sequence[tuple[Alert, bool, int]]
    silences: Sequence[Silence]
    records: Sequence[dict[str, Any]]
    last_id: int
    acks: Sequence[Ack] = ()


class Outbox:
    """`open` reads what is there; then jobs are handed over and run in order, in the writer's thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._jobs: queue.SimpleQueue[tuple[Job | None, Done | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="algowatch-outbox", daemon=True)
        self.failures = 0

    @classmethod
    def open(cls, path: Path) -> Outbox:
        """Open or make the file and start its writer. Raises: StoreError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            with suppress(OSError):
                path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA busy_timeout=5000")
            _prepare(connection, path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: cannot be used: {error}; check the disk, or move the file away to start anew") from error
        outbox = cls(connection)
        outbox._thread.start()
        return outbox

    def remembered(self, records: int) -> Remembered:
        """Everything at once; to be called before the first job. records: how many of the delivery record to read."""
        run = self._connection.execute
        pending = [
            _pending(*row)
            for row in run(
                "SELECT id, channel, group_key, message, created_ms, attempts, next_attempt_ms, error, tries FROM outbox "
                "ORDER BY id"
            )
        ]
        told = {
            (row[0], _channel(row[1])): Told(frozenset(row[2].split()), frozenset(row[3].split()), row[4], row[5])
            for row in run("SELECT group_key, channel, firing, resolved, at_ms, again_after_ms FROM told")
        }
        newest = run("SELECT record FROM deliveries ORDER BY delivered_ms DESC, id DESC LIMIT ?", (records,))
        last_id = run(
            "SELECT max(coalesce((SELECT max(id) FROM outbox), 0), coalesce((SELECT max(id + 0) FROM deliveries), 0))"
        )
        return Remembered(
            pending=pending,
            told=told,
            alerts=[
                (alert_from_dict(json.loads(text)), bool(posted), saved_ms)
                for text, posted, saved_ms in run("SELECT alert, posted, saved_ms FROM alerts ORDER BY ends_at_ms")
            ],
            silences=[_silence(json.loads(row[0])) for row in run("SELECT silence FROM silences")],
            records=[json.loads(row[0]) for row in newest],
            last_id=last_id.fetchone()[0],
            acks=[Ack(**json.loads(row[0])) for row in run("SELECT ack FROM acks")],
        )

    def keep_notifications(self, notifications: Sequence[tuple[Notification, Pending | None]], done: Done) -> None:
        """Write messages and what their channels thereby know, together; then `done(written)`, from the writer's thread."""

        def job(connection: sqlite3.Connection) -> None:
            for notification, pending in notifications:
                told = notification.told
                connection.execute(
                    "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        notification.group_key,
                        _spell(notification.channel),
                        " ".join(sorted(told.firing)),
                        " ".join(sorted(told.resolved)),
                        told.at_ms,
                        told.again_after_ms,
                    ),
                )
                if pending is not None:
                    _insert(connection, pending)

        self._jobs.put((job, done))

    def keep_messages(self, messages: Sequence[Pending], done: Done) -> None:
        """Write messages that change nothing of what anybody was told; then `done(written)`, from the writer's thread."""

        def job(connection: sqlite3.Connection) -> None:
            for pending in messages:
                _insert(connection, pending)

        self._jobs.put((job, done))

    def keep_alerts(self, alerts: Sequence[Alert], now_ms: int, *, posted: bool, done: Done | None = None) -> None:
        """Write alerts; then `done(written)`, from the writer's thread. posted: nobody may send them again."""
        rows = [
            (json.dumps(alert.labels), json.dumps(alert_to_dict(alert)), alert.ends_at_ms, posted, now_ms) for alert in alerts
        ]
        statement = "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?)"
        self._jobs.put((lambda connection: _many(connection, statement, rows), done))

    def postpone(self, pending: Pending) -> None:
        """A try failed; the next one is due at pending.next_attempt_ms."""
        row = (pending.attempts, pending.next_attempt_ms, pending.error, json.dumps(pending.tries), pending.id)
        self._do("UPDATE outbox SET attempts = ?, next_attempt_ms = ?, error = ?, tries = ? WHERE id = ?", row)

    def finish(self, message_id: int, records: Sequence[dict[str, Any]], at_ms: int) -> None:
        """A message is delivered, or given up: it leaves the outbox and enters the delivery record."""
        rows = [(record["id"], at_ms, json.dumps(record)) for record in records]

        def job(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM outbox WHERE id = ?", (message_id,))
            _many(connection, "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?)", rows)

        self._jobs.put((job, None))

    def tell_again(self, group_key: str, channel: ChannelKey, again_after_ms: int) -> None:
        row = (again_after_ms, group_key, _spell(channel))
        self._do("UPDATE told SET again_after_ms = ? WHERE group_key = ? AND channel = ?", row)

    def save_silence(self, silence: Silence) -> None:
        kept = {
            "id": silence.id,
            "matchers": [matcher_to_json(matcher) for matcher in silence.matchers],
            "starts_at_ms": silence.starts_at_ms,
            "ends_at_ms": silence.ends_at_ms,
            "created_by": silence.created_by,
            "comment": silence.comment,
            "updated_at_ms": silence.updated_at_ms,
        }
        self._do("INSERT OR REPLACE INTO silences VALUES (?, ?)", (silence.id, json.dumps(kept)))

    def forget_silence(self, silence_id: str) -> None:
        self._do("DELETE FROM silences WHERE id = ?", (silence_id,))

    def save_ack(self, ack: Ack, done: Done) -> None:
        row = (ack.fingerprint, json.dumps(asdict(ack)))
        self._jobs.put((lambda connection: _one(connection, "INSERT OR REPLACE INTO acks VALUES (?, ?)", row), done))

    def forget_ack(self, fingerprint: str) -> None:
        self._do("DELETE FROM acks WHERE fingerprint = ?", (fingerprint,))

    def sweep(self, before_ms: int, alerts_before_ms: int) -> None:
        """Forget deliveries and what was told before a moment, and alerts that ended before another."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM deliveries WHERE delivered_ms < ?", (before_ms,))
            connection.execute("DELETE FROM told WHERE at_ms < ?", (before_ms,))
            connection.execute("DELETE FROM alerts WHERE ends_at_ms < ?", (alerts_before_ms,))

        self._jobs.put((job, None))

    def close(self) -> None:
        """Write what was handed over, then close. Waits for the disk."""
        self._jobs.put((None, None))
        self._thread.join()
        self._connection.close()

    def _do(self, statement: str, values: Sequence[Any]) -> None:
        self._jobs.put((lambda connection: _one(connection, statement, values), None))

    def _run(self) -> None:
        open_for_jobs = True
        while open_for_jobs:
            batch = [self._jobs.get()]
            with suppress(queue.Empty):
                while len(batch) < 500:
                    batch.append(self._jobs.get_nowait())
            open_for_jobs = all(job is not None for job, _ in batch)
            written = self._commit([job for job, _ in batch if job is not None])
            for _, done in batch:
                if done is not None:
                    done(written)

    def _commit(self, jobs: Sequence[Job]) -> bool:
        """One transaction for all. False: the disk failed, which is logged and counted; messages are sent all the same."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job(self._connection)
            self._connection.execute("COMMIT")
            return True
        except sqlite3.Error as error:
            self.failures += 1
            _log.error("state.db cannot be written: %s; notifications are sent but would not survive a crash", error)
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            return False


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _SCHEMA_VERSION:
        raise StoreError(
            f"{path}: was written by a newer algowatch (format {version}); install that one, or move the file away"
        )
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = 1; COMMIT;")
    if version < 2:
        connection.executescript(f"BEGIN; {_SINCE_2} PRAGMA user_version = 2; COMMIT;")


def _pending(
    number: int, channel: str, group: str, message: str, created_ms: int, attempts: int, due_ms: int, error: str, tries: str
) -> Pending:
    told = tuple((at_ms, said) for at_ms, said in json.loads(tries))
    return Pending(number, _channel(channel), group, message, created_ms, attempts, due_ms, error, told)


def _insert(connection: sqlite3.Connection, pending: Pending) -> None:
    connection.execute(
        "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            pending.id,
            _spell(pending.channel),
            pending.group_key,
            pending.message,
            pending.created_ms,
            pending.attempts,
            pending.next_attempt_ms,
            pending.error,
            json.dumps(pending.tries),
        ),
    )


def _one(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> None:
    connection.execute(statement, values)


def _many(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    connection.executemany(statement, rows)


def _spell(channel: ChannelKey) -> str:
    return json.dumps([channel.receiver, channel.integration, channel.index])


def _channel(text: str) -> ChannelKey:
    receiver, integration, index = json.loads(text)
    return ChannelKey(receiver, integration, index)


def _silence(data: dict[str, Any]) -> Silence:
    return Silence(**{**data, "matchers": tuple(matcher_from_json(item) for item in data["matchers"])})


def pending_message(message_id: int, notification: Notification, now_ms: int) -> Pending | None:
    """The outbox's row for a notification; None where there is nothing to send."""
    if notification.message is None:
        return None
    return Pending(
        message_id, notification.channel, notification.group_key, to_json(notification.message), now_ms, next_attempt_ms=now_ms
    )
