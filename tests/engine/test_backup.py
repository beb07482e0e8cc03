"""Backup while the engine runs, everything deleted, restore: through the commands as a user types them."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request

from engine.conftest import environment


def algowatch(folder, *arguments, code=0):
    ran = subprocess.run(
        [sys.executable, "-m", "algowatch", *map(str, arguments)],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def silence(engine):
    """Silence one alert for an hour; returns the silence's id."""
    now = time.time()
    body = {
        "matchers": [{"name": "alertname", "value": "KillSwitchActive", "isRegex": False, "isEqual": True}],
        "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 3600)),
        "createdBy": "desk",
        "comment": "we know",
    }
    request = urllib.request.Request(
        f"{engine.url}/api/v2/silences", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["silenceID"]


def silence_ids(engine):
    with urllib.request.urlopen(f"{engine.url}/api/v2/silences", timeout=10) as response:
        return [found["id"] for found in json.load(response)]


def stored(engine):
    """{series: its samples} of everything that bots brought."""
    result = engine.get("/api/v1/query", query='{job="bots"}[1h]')["result"]
    return {json.dumps(series["metric"], sort_keys=True): series["values"] for series in result}


def test_every_sample_and_silence_is_back_after_the_data_was_deleted(start_engine, start_bot, tmp_path):
    engine = start_engine()
    bot = start_bot()
    bot.run("watch.pnl.daily.set(-125.5, strategy='gamma_scalping', currency='USD')")
    engine.wait_for_query("trading_daily_pnl")
    quiet = silence(engine)
    while len(stored(engine)['{"__name__": "up", "instance": "gamma-bot", "job": "bots"}']) < 3:
        time.sleep(0.1)
    shown = stored(engine)
    data, file = tmp_path / "data", tmp_path / "monday.backup"
    time.sleep(0.2)
    assert "silences and notifications" in algowatch(tmp_path, "backup", file, "--data", data)
    assert "exists already" in algowatch(tmp_path, "backup", file, "--data", data, code=2)
    assert "all well" in algowatch(tmp_path, "check", file, "--data", data)
    assert "has this directory open" in algowatch(tmp_path, "restore", file, "--data", data, code=2)
    engine.kill()
    bot.kill()
    shutil.rmtree(data)
    assert "are back" in algowatch(tmp_path, "restore", file, "--data", data)
    assert "is not empty" in algowatch(tmp_path, "restore", file, "--data", data, code=2)
    engine.start()
    assert silence_ids(engine) == [quiet]
    after = stored(engine)
    for series, samples in shown.items():
        assert after[series][: len(samples)] == samples


def test_check_names_what_is_damaged_and_ends_with_1(start_engine, start_bot, tmp_path):
    engine = start_engine()
    start_bot()
    engine.wait_for_query("up == 1")
    engine.terminate()
    database = tmp_path / "data" / "algowatch.db"
    subprocess.run(
        [sys.executable, "-c", f"import sqlite3; c = sqlite3.connect({str(database)!r}); "
         "c.execute('UPDATE rows SET vector = zeroblob(8) WHERE seq = 1'); c.commit()"],
        check=True,
    )  # fmt: skip
    assert "damaged: row 1 (stream " in algowatch(tmp_path, "check", "--data", tmp_path / "data", code=1)
    assert "name files to check, or a data directory" in algowatch(tmp_path, "check", code=2)
