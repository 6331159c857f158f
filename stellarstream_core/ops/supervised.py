"""A command under a supervisor: it tells how it is for as long as it runs, and in the end why it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from stellarstream_core.api.run_dir import RunDir
from stellarstream_core.cli.logs import configure_logging, log_file_of, log_what_is_said, role_of
from stellarstream_core.errors import SchemaError, SettingsError, SourceUnavailableError, StorageError
from stellarstream_core.ops.lenient import read_leniently
from stellarstream_core.ops.notes import note_end
from stellarstream_core.ops.process import ROLE, Presence, State
from stellarstream_core.settings import Settings


@contextmanager
def present(settings: Settings, role: str | None) -> Iterator[Presence | None]:
    """Tell how this process is, for the time of the block inside a running loop; do nothing without a role.

    What was told stays where the process is about to execute itself again. Raises ``SettingsError`` where the
    run folder cannot be used.
    """
    if role is None:
        yield None
        return
    with closing(RunDir.open(settings)) as run_dir:
        presence = Presence(run_dir.path, role)
        presence.start()
        try:
            yield presence
        finally:
            presence.rest() if presence.state is State.RENEWING else presence.close()


def log_end(text: str, error: BaseException | None = None) -> bool:
    """Log why this process ends, in one line: nobody may read its stderr. Tell whether there is a log file for it.

    Where its database or its sources do not answer the supervisor is told: it tries again before long.
    """
    if isinstance(error, StorageError) and not isinstance(error, SchemaError):
        want("its database")
    elif isinstance(error, SourceUnavailableError):
        want("its sources")
    line = " ".join(text.split())
    return log_what_is_said(line, "ERROR") or (_open_log() and log_what_is_said(line, "ERROR"))


def _open_log() -> bool:
    """Let a process that ends before it knew its settings, as one of them is wrong, log by those that are right."""
    if not os.environ.get(ROLE):
        return False
    settings = read_leniently().settings
    try:
        role = role_of(None)
        configure_logging("info", settings.log_format, role=role, log_file=log_file_of(settings, role))
    except SettingsError:
        return False  # that it has no log may be why it ends
    return True


def want(what: str) -> None:
    """Tell the supervisor that this process ends for want of something that comes back."""
    run_dir, role = os.environ.get("STELLARSTREAM_RUN_DIR"), os.environ.get(ROLE)
    if run_dir and role:
        note_end(Path(run_dir), role, os.getpid(), what)
