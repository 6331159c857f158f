"""A command under a supervisor: it tells how it is for as long as it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from stellarstream_core.api.run_dir import RunDir
from stellarstream_core.ops.process import Presence, State
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
