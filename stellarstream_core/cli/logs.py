"""The log: on stderr as readable text or JSON, and in files where a folder for them is set."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from functools import lru_cache
from time import localtime, strftime
from typing import TYPE_CHECKING, Any

from stellarstream_core.api import request_ids
from stellarstream_core.errors import SettingsError
from stellarstream_core.sync import reached

if TYPE_CHECKING:
    from loguru import Message, Record

    from stellarstream_core.ops.log_files import SharedRotatingFile
    from stellarstream_core.settings import Settings

LEVELS = ("trace", "debug", "info", "warning", "error")
LEVEL_VARIABLE = "STELLARSTREAM_LOG_LEVEL"
DEFAULT_LEVEL = "warning"
ROLE_VARIABLE = "STELLARSTREAM_ROLE"
ROLES = {"serve": "api", "sync": "indexer"}
"""What the processes of a service are called in their log, by command; others are called as their command."""

TEXT = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}"
TEXT_OF_REQUEST = f"{TEXT} <dim>[{{extra[request_id]}}]</dim>"

_PASSING = frozenset({ENOSPC, EDQUOT, EFBIG, EIO})
"""Why a file cannot be opened now but may be later: the service starts all the same."""


def _to_stderr(line: str) -> None:
    with suppress(OSError):  # where nobody reads the log any more, the work goes on
        sys.stderr.write(line)


_write: Callable[[str], None] = _to_stderr
_in_file = False


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


@dataclass(frozen=True, slots=True)
class LogFile:
    """The file that a process's log goes to."""

    file: SharedRotatingFile
    errors_only: bool
    """Whether only errors are on stderr besides: a service's stderr is read when something is wrong."""


def configure_logging(level: str, log_format: str = "text", *, role: str = "", log_file: LogFile | None = None) -> None:
    """Send the log to stderr from ``level`` on, and to a file where there is one; stdout belongs to results."""
    from loguru import logger  # noqa: PLC0415 - 60 ms that --help does without

    global _in_file  # noqa: PLW0603 - there is one log
    _in_file = log_file is not None and log_file.errors_only
    logger.remove()
    logger.configure(patcher=_with_context, extra={"role": role, "worker": os.getpid()})
    as_json = log_format == "json"
    # diagnose prints the values of variables into tracebacks: they may be secrets
    safe: dict[str, Any] = {"diagnose": False, "backtrace": False}
    to_stderr = "ERROR" if log_file is not None and log_file.errors_only else level.upper()
    if as_json:
        logger.add(_write_json, level=to_stderr, format=_exception_of, colorize=False, **safe)
    else:
        logger.add(_write_line, level=to_stderr, format=_text_of, colorize=sys.stderr.isatty(), **safe)
    if log_file is not None:
        sink = _FileSink(log_file.file, as_json)
        logger.add(sink, level=level.upper(), format=_exception_of, colorize=False, **safe)


def log_what_is_said(text: str, level: str = "INFO") -> bool:
    """Put into a service's log file what is said on stdout or stderr: nobody may be there to read it.

    Tell whether there is such a file. An error then is on stderr, too.
    """
    if _in_file:
        from loguru import logger  # noqa: PLC0415 - as above

        logger.log(level, "{}", text)
    return _in_file


class _FileSink:
    """Writes records to a file in one go: their form needs no template of loguru's, which takes longer."""

    def __init__(self, file: SharedRotatingFile, as_json: bool) -> None:
        from stellarstream_core.ops.log_lines import json_line, text_line  # noqa: PLC0415 - only where files are written

        self._file = file
        self._line = json_line if as_json else text_line

    def write(self, message: Message) -> None:
        self._file.write(self._line(message.record, message))

    def stop(self) -> None:
        self._file.stop()


def _write_json(message: Message) -> None:
    from stellarstream_core.ops.log_lines import json_line  # noqa: PLC0415 - only where JSON is written

    _write(json_line(message.record, message).decode())


def _exception_of(_record: Record) -> str:
    """Return the format of what is not in the record as text yet: the traceback, if there is one."""
    return "{exception}"


def _with_context(record: Record) -> None:
    """Put into a record the id of the request being answered and the ledger reached, where there are such."""
    if (request_id := request_ids.current.get()) is not None:
        record["extra"].setdefault("request_id", request_id)
    if reached.ledger is not None:
        record["extra"].setdefault("ledger", reached.ledger)


def role_of(command: str | None) -> str:
    """Return what this process is called in its log: as its supervisor says, else after its command.

    Raises ``SettingsError`` where that cannot be part of a file's name.
    """
    from stellarstream_core.ops.log_names import ROLE_FORM  # noqa: PLC0415 - only where files are written

    given = os.environ.get(ROLE_VARIABLE)
    if given:
        if not ROLE_FORM.fullmatch(given):
            raise SettingsError(
                f"{ROLE_VARIABLE}: {given!r} cannot be the name of a log.",
                help="It may have 32 small letters, digits and dashes, and begins with a letter.",
            )
        return given
    name = command or "stellarstream"
    usual = ROLES.get(name, name)
    return usual if ROLE_FORM.fullmatch(usual) else "stellarstream"  # a plugin's command may have any name


def log_file_of(settings: Settings, role: str) -> LogFile | None:
    """Return the file of the settings for this role; None where no folder is set.

    A service whose folder cannot be used must say so at once (``SettingsError``); a command that somebody runs
    beside it, who need not be allowed to write there, goes without.
    """
    if settings.log_dir is None:
        return None
    from stellarstream_core.ops.log_files import MEGABYTE, SharedRotatingFile  # noqa: PLC0415 - only where it is set

    service = is_service(role)
    folder = settings.log_dir.expanduser().absolute()
    file = SharedRotatingFile(
        folder / f"{role}.log",
        int(settings.log_rotate_mb * MEGABYTE),
        settings.log_keep_days,
        settings.log_compress,
        date_format=settings.log_date_format,
        note=lambda text: _note(text, role, settings.log_format),
    )
    if not service:
        writable = os.access(folder, os.W_OK | os.X_OK) or not folder.exists()
        return LogFile(file, errors_only=False) if writable else None
    try:
        file.open()
    except OSError as error:
        if error.errno not in _PASSING:
            raise SettingsError(
                f"log_dir: {error.filename or file.path}: {error.strerror or error}.",
                help="Set it (STELLARSTREAM_LOG_DIR) to a folder that the service's user may write to.",
            ) from None
    return LogFile(file, errors_only=not sys.stderr.isatty())


def is_service(role: str) -> bool:
    """Tell whether this process is one of a service, not a command that somebody runs and reads."""
    return role in ROLES.values() or ROLE_VARIABLE in os.environ


def _note(text: str, role: str, log_format: str) -> bytes:
    """Return a line that the file itself has to say."""
    import time  # noqa: PLC0415 - hardly ever

    import orjson  # noqa: PLC0415 - likewise

    from stellarstream_core.ops.log_lines import text_of, utc  # noqa: PLC0415 - likewise

    now, worker = utc(time.time()), os.getpid()
    if log_format == "json":
        fields = {"time": now, "level": "ERROR", "role": role, "worker": worker, "message": text}
        return orjson.dumps(fields) + b"\n"
    return text_of(now, "ERROR", role, str(worker), text)


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
