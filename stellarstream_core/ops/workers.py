"""How many processes there are: API workers for all cores unless ``API_WORKERS`` says otherwise, an indexer or none."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

API_WORKERS = "API_WORKERS"
INDEXERS = "INDEXERS"
"""0 on a machine that only serves."""
MOST_WORKERS = 512
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(cpu_max: Path = _CPU_MAX) -> int:
    """Return how many cores this process may use: those it may run on, or fewer where its group is given less time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or 'max': no quota
        return cores


def workers_asked_for(environ: Mapping[str, str]) -> int | None:
    """Return what ``API_WORKERS`` says, None where it says nothing. Raises ``ValueError``."""
    text = environ.get(API_WORKERS, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_WORKERS:
        raise ValueError(f"{text!r} is no number of workers from 1 to {MOST_WORKERS}")
    return int(text)


def indexer_asked_for(environ: Mapping[str, str]) -> bool:
    """Tell whether an indexer is started, as it is unless ``INDEXERS`` is 0. Raises ``ValueError``."""
    text = environ.get(INDEXERS, "").strip()
    if text not in {"", "0", "1"}:
        raise ValueError(f"{text!r} is neither 0 nor 1")
    return text != "0"
