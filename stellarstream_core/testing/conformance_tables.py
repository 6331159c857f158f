# ruff: noqa: S101, D102, D106 - a suite of tests is made of assertions, and its names are its documentation
"""The part of the storage conformance suite about epochs, watches and other tables; see ``storage_conformance``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest
from peewee import BigIntegerField, Database, IntegrityError, Model, TextField

from stellarstream_core.errors import StorageBusyError, StorageError
from stellarstream_core.storage import Storage
from stellarstream_core.testing.conformance_windows import A, OpenStorage, window
from stellarstream_core.testing.scripted import made_event

PROMPT = 5.0
"""Seconds in which what should happen at once has happened on any machine."""


class Note(Model):
    """A table such as a plugin may have."""

    id = TextField(primary_key=True)
    number = BigIntegerField()

    class Meta:
        table_name = "conformance_notes"


def make_table(storage: Storage) -> None:
    """Make the table of notes, as a migration would."""

    def make(database: Any) -> None:
        database.execute_sql("CREATE TABLE conformance_notes (id TEXT NOT NULL PRIMARY KEY, number BIGINT NOT NULL)")

    storage.write(make)


def add(name: str, number: int = 0) -> Callable[[Database], Any]:
    """Return the change that inserts a note."""
    return lambda database: Note.insert(id=name, number=number).execute(database)


def notes(storage: Storage) -> list[tuple[str, int]]:
    """Return every note."""
    found = Note.select(Note.id, Note.number).order_by(Note.id).tuples()
    return storage.read(lambda database: list(found.execute(database)))


class Background:
    """A function in a thread; what it returns or raises comes out where it is joined."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self._work = work
        self._thread = Thread(target=self._run)
        self._thread.start()

    def join(self, seconds: float = 60) -> object:
        """Wait for its end; fail where that does not come in time."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "it has not come to its end"
        if self.error is not None:
            raise self.error
        return self.result

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error


class TableConformance:
    """Tests of ``epoch``, ``watch``, ``read`` and ``write``."""

    # --- epoch ----------------------------------------------------------------------------------

    def test_an_epoch_stays_until_a_new_one_begins(self, storage: Storage, open_storage: OpenStorage) -> None:
        first = storage.epoch()
        assert first
        storage.commit(window(10, 12))
        assert open_storage().epoch() == first
        second = storage.begin_epoch()
        assert second != first
        assert (storage.epoch(), open_storage().epoch()) == (second, second)
        assert storage.totals().position == 1

    # --- watch ----------------------------------------------------------------------------------

    def test_a_watch_returns_at_once_what_is_there_already(self, storage: Storage) -> None:
        storage.commit(window(10, 12))
        with closing(storage.watch()) as watch:
            began = monotonic()
            assert watch.wait(0, 60) == 1
            storage.commit(window(13, 15))
            assert watch.wait(1, 60) == 2
            assert watch.wait(0, 60) == 2
            assert monotonic() - began < PROMPT

    def test_a_watch_gives_up_when_the_time_is_over(self, storage: Storage) -> None:
        storage.commit(window(10, 12))
        with closing(storage.watch()) as watch:
            began = monotonic()
            assert watch.wait(1, 0.2) == 1
            assert 0.1 < monotonic() - began < PROMPT
            assert watch.wait(7, 0) == 1

    def test_a_watch_hears_of_every_commit_whoever_makes_it(self, storage: Storage, open_storage: OpenStorage) -> None:
        other = open_storage()

        def commit() -> None:
            for number in range(40):
                (storage, other)[number % 2].commit(window(10 + number, 10 + number))

        with closing(storage.watch()) as watch:
            committing = Background(commit)
            position = 0
            while position < 40:
                before, position = position, watch.wait(position, PROMPT)
                assert position > before, "a commit went unheard"
            committing.join()

    def test_a_watch_wakes_while_it_waits(self, storage: Storage) -> None:
        with closing(storage.watch()) as watch:
            for number in range(3):
                waiting = Background(lambda after=number: watch.wait(after, 60))  # type: ignore[misc]  # its own number
                storage.commit(window(10 + number, 10 + number, [made_event(10 + number, 1, 0, A)]))
                assert waiting.join(PROMPT) == number + 1

    def test_closing_a_watch_wakes_who_waits(self, storage: Storage) -> None:
        watch = storage.watch()
        waiting = Background(lambda: watch.wait(0, 60))
        with closing(storage.watch()) as other:
            other.wait(0, 0.1)  # long enough for the thread to wait
        watch.close()
        assert waiting.join(PROMPT) == 0
        watch.close()
        with pytest.raises(StorageError):
            watch.wait(0, 0)

    # --- read and write -------------------------------------------------------------------------

    def test_what_is_written_is_read(self, storage: Storage, open_storage: OpenStorage) -> None:
        make_table(storage)
        storage.write(add("one", 1))
        assert storage.write(lambda database: Note.update(number=Note.number + 1).execute(database)) == 1
        assert notes(storage) == [("one", 2)]
        assert notes(open_storage()) == [("one", 2)]

    @pytest.mark.parametrize("error", [KeyError("mine"), OSError("mine"), StorageError("mine"), KeyboardInterrupt()])
    def test_what_a_change_raises_undoes_it_and_passes_through(self, storage: Storage, error: BaseException) -> None:
        make_table(storage)

        def change(database: Database) -> None:
            add("one")(database)
            raise error

        with pytest.raises(type(error)) as raised:
            storage.write(change)
        assert raised.value is error
        assert notes(storage) == []
        storage.write(add("one"))

    def test_a_key_that_is_there_already_is_told_as_an_integrity_error(self, storage: Storage) -> None:
        make_table(storage)
        storage.write(add("one", 1))

        def change(database: Database) -> None:
            add("two")(database)
            add("one", 2)(database)

        with pytest.raises(IntegrityError):
            storage.write(change)
        assert notes(storage) == [("one", 1)]

    def test_a_change_can_go_on_after_an_integrity_error_inside_a_savepoint(self, storage: Storage) -> None:
        make_table(storage)
        storage.write(add("one", 1))

        def change(database: Database) -> None:
            with pytest.raises(IntegrityError), database.atomic():
                add("one", 2)(database)
            add("two", 2)(database)

        storage.write(change)
        assert notes(storage) == [("one", 1), ("two", 2)]

    def test_a_read_cannot_write(self, storage: Storage) -> None:
        make_table(storage)
        with pytest.raises(StorageError):
            storage.read(add("one"))
        assert notes(storage) == []

    def test_a_read_sees_one_snapshot(self, storage: Storage, open_storage: OpenStorage) -> None:
        make_table(storage)
        other = open_storage()

        def read(database: Database) -> tuple[int, int]:
            before = Note.select().count(database)
            Background(lambda: other.write(add("one"))).join()
            return before, Note.select().count(database)

        assert storage.read(read) == (0, 0)
        assert notes(storage) == [("one", 0)]

    def test_a_change_waits_for_its_turn_no_longer_than_it_may(
        self, storage: Storage, open_storage: OpenStorage
    ) -> None:
        make_table(storage)
        storage.write(add("one"))
        holding, done = Event(), Event()
        count = Note.update(number=Note.number + 1)

        def hold(database: Database) -> None:
            count.execute(database)
            holding.set()
            done.wait(60)

        for other in (storage, open_storage()):
            holder = Background(lambda: storage.write(hold))
            assert holding.wait(60)
            began = monotonic()
            try:
                with pytest.raises(StorageBusyError):
                    other.write(count.execute, wait_seconds=0.2)
                assert 0.1 < monotonic() - began < PROMPT
            finally:
                done.set()
                holder.join()
            other.write(count.execute, wait_seconds=0.2)
            holding.clear()
            done.clear()
        assert notes(storage) == [("one", 4)]

    def test_changes_from_many_threads_all_happen(self, storage: Storage, open_storage: OpenStorage) -> None:
        make_table(storage)
        storage.write(add("one"))
        count = Note.update(number=Note.number + 1)
        storages = (storage, open_storage())

        def work(number: int) -> None:
            for _ in range(10):
                storages[number % 2].write(count.execute, wait_seconds=30)

        threads = [Background(lambda number=number: work(number)) for number in range(10)]  # type: ignore[misc]  # its own
        for thread in threads:
            thread.join()
        assert notes(storage) == [("one", 100)]

    def test_changes_get_their_turn_while_somebody_commits_without_a_pause(
        self, storage: Storage, open_storage: OpenStorage
    ) -> None:
        make_table(storage)
        storage.write(add("one"))
        count = Note.update(number=Note.number + 1)
        over = Event()

        def commit(committing: Storage, first: int) -> int:
            ledger = first
            while not over.is_set():
                committing.commit(window(ledger, ledger, [made_event(ledger, tx, 0, A) for tx in range(1, 20)]))
                ledger += 1
            return ledger - first

        busy = [
            Background(lambda: commit(storage, 1)),
            Background(lambda: commit(open_storage(), 1_000_000)),
        ]
        try:
            for _ in range(20):
                storage.write(count.execute, wait_seconds=PROMPT)
        finally:
            over.set()
            commits = [thread.join() for thread in busy]
        assert all(commits)
        assert notes(storage) == [("one", 20)]
