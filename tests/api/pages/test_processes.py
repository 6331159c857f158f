"""The dashboard's processes in a real browser: on a phone, in the dark, and current without a reload."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import replace

from stellarstream_core.ops.health_state import Alert, HealthState, ProcessHealth, WatcherHealth, write_health
from stellarstream_core.ops.process import ROLE, SUPERVISED, Presence

from .browser import DESKTOP, PHONE, chromium, watched


async def test_processes_are_readable_everywhere_and_kept_current(served, sqlite_url, tmp_path, monkeypatch):
    monkeypatch.setenv(SUPERVISED, "1")
    monkeypatch.setenv(ROLE, "api")
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)
    me = ProcessHealth(os.getpid(), 612_000_000, 97.0, 4_000.0, 0.3, state="ready")
    watchers = {name: WatcherHealth("active", 2, (me,), restarts=12) for name in ("api", "indexer")}
    text = "api process 4711 has 612 MB of memory, more than 500 MB: it is replaced"
    alerts = tuple(Alert(time.time() - number, "memory", "api", text, 4711) for number in range(9))
    health = HealthState(time.time(), 3600.0, watchers, alerts, {"memory": 9})
    write_health(run_dir, health)
    api = await served(sqlite_url, run_dir=str(run_dir))
    with closing(Presence(run_dir, "api")) as ours, closing(Presence(run_dir, "indexer")) as indexer:
        for one in (ours, indexer):
            one.start()
            one.ready()
        async with chromium() as browser:
            async with watched(browser, api.url, PHONE, color_scheme="dark") as page:
                await page.open()
                await page.unfold()
                await page.sound()
                said = await page.text("#processes")
                for words in ("1 of 2 ready", f"{os.getpid()} ready", "612 MB", "97 %", "4 earlier ones", text):
                    assert words in said, said
            async with watched(browser, api.url, DESKTOP, color_scheme="light") as page:
                await page.open()
                await page.sound()
                write_health(run_dir, replace(health, alerts=(*alerts, Alert(time.time(), "stuck", "api", "it hangs"))))
                await page.until("document.querySelector('#processes .alerts').textContent.includes('it hangs')")
