"""The pool of threads: bounded, and clear about it when it is exhausted."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from stellarstream_core.api import request_ids
from stellarstream_core.api.database import Database
from stellarstream_core.api.problems import DatabaseBusyError


@pytest.fixture
async def database():
    made = Database(None, threads=2, waiting=3, patience=0.2)
    yield made
    await made.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_functions_run_in_threads_and_what_they_raise_is_raised(database):
    assert await database.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await database.run(lambda: 1 // 0)


async def test_no_more_run_at_a_time_than_there_are_threads(database):
    running, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    await asyncio.gather(*(database.run(work) for _ in range(5)))
    assert most == 2


async def test_who_waits_too_long_is_refused(database):
    go = threading.Event()
    busy = [asyncio.create_task(database.run(go.wait, 5)) for _ in range(2)]
    refusals = []
    database.on_refusal = lambda: refusals.append(1)
    await asyncio.sleep(0)
    started = time.monotonic()
    with pytest.raises(DatabaseBusyError):
        await database.run(int)
    assert 0.15 < time.monotonic() - started < 2
    assert refusals == [1]
    go.set()
    await asyncio.gather(*busy)
    assert await database.run(int) == 0


async def test_who_finds_too_many_waiting_is_refused_at_once(database):
    go = threading.Event()
    tasks = [asyncio.create_task(database.run(go.wait, 5)) for _ in range(5)]
    await until(lambda: database.waiting == 3)
    started = time.monotonic()
    with pytest.raises(DatabaseBusyError):
        await database.run(int)
    assert time.monotonic() - started < 0.1
    go.set()
    await asyncio.gather(*tasks)


async def test_a_request_that_is_given_up_frees_its_thread_only_when_its_function_has_ended(database):
    go = threading.Event()
    tasks = [asyncio.create_task(database.run(go.wait, 5)) for _ in range(2)]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    with pytest.raises(DatabaseBusyError):  # both threads are still at work
        await database.run(int)
    go.set()
    await asyncio.sleep(0.05)
    assert await database.run(int) == 0


async def test_the_request_id_goes_along_into_the_thread(database):
    request_ids.current.set("from-the-request")
    assert await database.run(request_ids.current.get) == "from-the-request"
