"""Telling a process from a later one that was given the same number."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path


def birth_of(pid: int) -> str | None:
    """Return what no later process of this number has in common with it; None where the system does not say.

    That is the boot, and when in it the process began, in clock ticks. An exec changes neither.
    """
    fields = _stat(pid)
    return None if fields is None else f"{_boot()}:{fields[19]}"


def began_at(birth: str | None) -> float:
    """Return when a process of this boot began, in Unix seconds; the present where its birth is not known."""
    if birth is None:
        return time.time()
    ticks = int(birth.rpartition(":")[2])
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def lives(pid: int, birth: object) -> bool:
    """Tell whether the process of this number and birth is there, and has not ended without being asked how."""
    if isinstance(birth, str):
        fields = _stat(pid)
        return fields is not None and fields[0] not in {"Z", "X"} and birth_of(pid) == birth
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stat(pid: int) -> list[str] | None:
    """Return what Linux tells of a process, from its state on: the name before that may hold blanks and brackets."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields if len(fields) > 19 else None


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "?"
