"""Replacing one process, whatever happens in between: on a model of a watcher that ends its oldest first."""

from __future__ import annotations

import itertools

import pytest

from stellarstream_core.ops import health_replacing
from stellarstream_core.ops.control import ClusterError
from stellarstream_core.ops.health_replacing import Replacing
from stellarstream_core.ops.process import PresenceState, State


class Model:
    """What circus does with one watcher; new processes are ready when they are said to be."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.processes: list[int] = []
        self.ready: set[int] = set()
        self.number = 2
        self.removed = False
        self.manage()
        self.ready |= set(self.processes)

    def manage(self) -> None:
        while len(self.processes) < self.number:
            self.processes.append(next(self.numbers))
        del self.processes[: max(len(self.processes) - self.number, 0)]

    def pids(self, watcher: str) -> list[int]:
        if self.removed:
            raise ClusterError(f"program {watcher} not found")
        return list(self.processes)

    def wanted(self, watcher: str) -> int:
        return self.number

    def call(self, command: str, *, name: str, nb: int = 0, pid: int = 0, signum: int = 0) -> None:
        if command == "signal":
            self.processes.remove(pid)
            self.processes.insert(0, pid)
        else:
            self.number += nb if command == "incr" else -nb
            self.manage()

    def reload(self) -> None:
        self.processes = []
        self.manage()
        self.ready |= set(self.processes)

    def presences(self, _folder) -> list[PresenceState]:
        return [
            PresenceState(pid, "api", State.READY if pid in self.ready else State.STARTING, 0, 0, 0, {})
            for pid in self.processes
        ]


@pytest.fixture
def model(monkeypatch) -> Model:
    made = Model()
    monkeypatch.setattr(health_replacing, "read_presences", made.presences)
    return made


@pytest.fixture
def now(monkeypatch) -> list[float]:
    at = [1000.0]
    monkeypatch.setattr(health_replacing.time, "monotonic", lambda: at[0])
    return at


@pytest.fixture
def failed() -> list:
    return []


@pytest.fixture
def replacing(model, tmp_path, failed) -> Replacing:
    return Replacing(model, tmp_path, lambda *what: failed.append(what))


@pytest.mark.parametrize("offender", [1, 2])
def test_the_offender_leaves_once_a_new_one_is_ready_and_no_other(model, replacing, now, tmp_path, offender):
    replacing.begin("api", offender)
    assert model.processes == [1, 2, 3]
    replacing.step()
    assert model.processes == [1, 2, 3]  # it is not ready yet
    model.ready.add(3)
    replacing.step()
    assert set(model.processes) == {1, 2, 3} - {offender}
    assert replacing.watchers == {"api"}  # until it has been seen to be gone
    replacing.step()
    assert replacing.watchers == frozenset()
    assert (model.number, list(tmp_path.iterdir())) == (2, [])


def test_where_no_new_one_becomes_ready_it_is_the_one_to_leave(model, replacing, now, failed):
    replacing.begin("api", 1)
    now[0] += health_replacing.READY_SECONDS + 1
    replacing.step()
    assert model.processes == [1, 2]
    assert failed == [("api", 1)]
    now[0] += health_replacing.LEAVE_SECONDS + 1
    replacing.step()
    assert replacing.watchers == frozenset()


def test_an_offender_that_ended_by_itself_costs_no_bystander(model, replacing, now):
    replacing.begin("api", 1)
    model.processes.remove(1)
    model.manage()
    assert model.processes == [2, 3, 4]
    model.ready |= {3, 4}
    replacing.step()
    assert 2 in model.processes
    assert len(model.processes) == model.number == 2


def test_a_reload_in_between_leaves_the_right_number(model, replacing, now):
    replacing.begin("api", 1)
    model.reload()
    replacing.step()
    replacing.step()
    assert len(model.processes) == model.number == 2
    assert replacing.watchers == frozenset()


def test_a_monitor_that_ended_is_followed_by_one_that_goes_on(model, replacing, now, tmp_path, failed):
    replacing.begin("api", 2)
    after = Replacing(model, tmp_path, lambda *what: failed.append(what))
    after.resume()
    model.ready.add(3)
    after.step()
    assert model.processes == [1, 3]
    # and where circusd began anew meanwhile, there is nothing to go on with
    again = Replacing(model, tmp_path, lambda *what: failed.append(what))
    again.resume()
    assert again.watchers == frozenset()
    assert not failed


@pytest.mark.parametrize("text", ["", "{", '{"a":1}', '[{"watcher":"api"}]', "[3]"])
def test_a_note_that_cannot_be_read_is_left_out(replacing, tmp_path, text):
    (tmp_path / health_replacing.REPLACING_FILE).write_text(text)
    replacing.resume()
    assert replacing.watchers == frozenset()


def test_a_watcher_that_was_removed_is_forgotten_at_last(model, replacing, now):
    replacing.begin("api", 1)
    model.removed = True
    replacing.step()
    assert replacing.watchers == {"api"}
    now[0] += health_replacing.GIVE_UP_SECONDS + 1
    replacing.step()
    assert replacing.watchers == frozenset()


def test_only_one_of_a_watcher_is_replaced_at_a_time(model, replacing, now):
    replacing.begin("api", 1)
    replacing.begin("api", 2)
    assert model.number == 3
