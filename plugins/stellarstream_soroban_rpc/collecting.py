"""Putting the garbage collector off while a page is made into events."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Run a short, synchronous stretch without garbage collection.

    Parsing a page makes tens of thousands of containers, none in a cycle, and each 700th would
    have the collector look through all the young ones: a third of the time of a page.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
