"""The log on stderr: readable text, or one JSON object a line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from time import localtime, strftime
from typing import TYPE_CHECKING

from stellarstream_core.api import request_ids

if TYPE_CHECKING:
    from loguru import Record

LEVELS = ("trace", "debug", "info", "warning", "error")
LEVEL_VARIABLE = "STELLARSTREAM_LOG_LEVEL"
DEFAULT_LEVEL = "warning"

TEXT = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}"
TEXT_OF_REQUEST = f"{TEXT} <dim>[{{extra[request_id]}}]</dim>"


def _to_stderr(line: str) -> None:
    with suppress(OSError):  # where nobody reads the log any more, the work goes on
        sys.stderr.write(line)


_write: Callable[[str], None] = _to_stderr


def _write_line(line: str) -> None:
    _write(line)


def prepare_logging() -> None:
    """Set what holds until :func:`configure_logging`: loading plugins for ``--help`` may already log.

    Without importing the log itself, which takes longer than showing the help.
    """
    level = os.environ.get(LEVEL_VARIABLE, DEFAULT_LEVEL)
    os.environ["LOGURU_LEVEL"] = (level if level.lower() in LEVELS else DEFAULT_LEVEL).upper()
    os.environ["LOGURU_FORMAT"] = TEXT
    os.environ["LOGURU_DIAGNOSE"] = os.environ["LOGURU_BACKTRACE"] = "NO"


def configure_logging(level: str, log_format: str = "text") -> None:
    """Send the log to stderr from ``level`` on; stdout belongs to results."""
    from loguru import logger  # noqa: PLC0415 - 60 ms that --help does without

    logger.remove()
    logger.configure(patcher=_with_request_id)
    # diagnose prints the values of variables into tracebacks: they may be secrets
    logger.add(
        _write_line,
        level=level.upper(),
        format=_text_of,
        serialize=log_format == "json",
        colorize=sys.stderr.isatty(),
        diagnose=False,
        backtrace=False,
    )


def _with_request_id(record: Record) -> None:
    """Put the id of the request being answered into a record, where there is one."""
    if (request_id := request_ids.current.get()) is not None:
        record["extra"].setdefault("request_id", request_id)


def _text_of(record: Record) -> str:
    return _template(int(record["time"].timestamp()), "request_id" in record["extra"])


@lru_cache(maxsize=8)
def _template(second: int, of_request: bool) -> str:
    """Return the format of a line, its time written already: formatting it anew takes longer than all the rest."""
    text = TEXT_OF_REQUEST if of_request else TEXT
    return text.replace("{time:HH:mm:ss}", strftime("%H:%M:%S", localtime(second))) + "\n{exception}"


@contextmanager
def log_through(write: Callable[[str], None]) -> Iterator[None]:
    """Let the lines of the log go through ``write`` for a while, so that they do not run into a progress bar."""
    global _write  # noqa: PLW0603 - there is one log, and one stderr
    _write = write
    try:
        yield
    finally:
        _write = _to_stderr
