"""The folder shared by the API's workers on one machine: rate limits and metrics live in it.

Who can write into it can lift limits, so it belongs to the user that runs the workers and to nobody
else. Nothing in it is precious: without it limits begin anew and counters start at zero.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from stellarstream_core.errors import SettingsError
from stellarstream_core.redact import redact_url
from stellarstream_core.settings import Settings

LOCK_SECONDS = 5.0
"""How long a worker waits for another one that is setting something up."""

_HELP = "Set 'run_dir' (STELLARSTREAM_RUN_DIR) to a folder of the user that runs the service, with mode 0700."
_SQLITE = "sqlite:///"


class RunDir:
    """The open folder. While it is open, those who clear old temporary files leave it alone.

    (``systemd-tmpfiles`` passes over folders on which somebody has a lock by ``flock``.)
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def open(cls, settings: Settings) -> RunDir:
        """Open the folder of the setting ``run_dir``, or a private one; make it where it is not there.

        Raises ``SettingsError`` where it is no folder, another user's, or open to others.
        """
        if settings.run_dir is None:
            path, forbidden = default_path(settings), 0o077
        else:  # a supervisor may have made it so that a group can look into it
            path, forbidden = settings.run_dir.expanduser().absolute(), 0o022
        make_private(path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise SettingsError(f"run_dir: {path}: {_reason(path, error)}.", help=_HELP) from None
        try:
            _check(path, os.fstat(fd), forbidden)
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # somebody is clearing up; what matters is made again
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd)

    def close(self) -> None:
        """Let go of the folder; what is in it stays. Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def default_path(settings: Settings) -> Path:
    """Return the folder used without a setting: the same for all workers of one deployment and one user.

    Its name can be read by everybody, so the database's address goes into it without its password.
    """
    database = redact_url(settings.database_url)
    if settings.database_url.startswith(_SQLITE):  # a relative path is another file in another folder
        database = str(Path(settings.database_url.removeprefix(_SQLITE)).absolute())
    name = sha256(f"{database}\n{settings.public_url}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"stellarstream-{os.geteuid()}-{name}"


def make_private(path: Path) -> None:
    """Make a folder with mode 0700 unless it is there. Raises ``SettingsError``."""
    try:
        path.mkdir(mode=0o700)
        path.chmod(0o700)  # whatever the umask took away
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(f"run_dir: {path} cannot be made: {error.strerror or error}.", help=_HELP) from None


@contextmanager
def alone(folder: Path, name: str, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Be the only process, and thread, that is inside the block for this folder and name.

    Raises ``TimeoutError`` where another one stays inside longer than ``seconds``, and ``OSError``.
    """
    fd = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        give_up = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    raise TimeoutError(f"{folder / name} has been locked for {seconds:g} seconds") from None
                time.sleep(0.002)
        yield
    finally:
        os.close(fd)


def _check(path: Path, found: os.stat_result, forbidden: int) -> None:
    if found.st_uid != os.geteuid():
        raise SettingsError(f"run_dir: {path} belongs to another user (uid {found.st_uid}).", help=_HELP)
    mode = stat.S_IMODE(found.st_mode)
    if mode & forbidden:
        raise SettingsError(f"run_dir: {path} is open to other users (mode {mode:04o}).", help=_HELP)


def _reason(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return "it is a symbolic link, and those are not followed"
    return (error.strerror or str(error)).lower()
