"""The systemd unit of an installation: the file that is shipped, with this installation's user and paths in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stellarstream_core.errors import UsageError
from stellarstream_core.ops.environment import HOME, LOG_DIR, NO_PLUGINS, RUN_DIR
from stellarstream_core.ops.files import shared_file
from stellarstream_core.settings import ENV_CONFIG

SYSTEM_UNIT = "contrib/systemd/stellarstream.service"
USER_UNIT = "contrib/systemd/user/stellarstream.service"
NAME = "stellarstream"
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
"""Names that users, folders and units may all have."""
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}\$?", re.ASCII)
"""Names that a user may have already, those of a directory service included."""
_HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
"""What ``ProtectHome`` keeps from a service."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:,=@+%$-]+")


@dataclass(frozen=True, slots=True)
class Installation:
    """What a unit has to know.

    ``command``: how ``stellarstream`` is called; ``user``: who runs the service, None where the unit is one of
    somebody's own systemd; ``run_dir``: where that makes the folder for sockets; ``reads``: other paths that the
    service needs to read; ``built_in_only``: it goes without other plugins.
    """

    name: str
    command: tuple[str, ...]
    user: str | None
    home: Path
    log_dir: Path
    run_dir: Path
    environment_file: Path
    config: Path | None = None
    reads: tuple[Path, ...] = ()
    built_in_only: bool = False


def check_name(name: str) -> str:
    """Return the name of a unit, its user and its folders. Raises ``UsageError`` where it cannot be one."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a service and a user.",
            help="It begins with a small letter; small letters, digits, '-' and '_' may follow, 31 in all.",
        )
    return name


def unit_for(installation: Installation) -> str:
    """Return the unit's text. Raises ``UsageError`` where a name or a path cannot stand in one."""
    one = installation
    check_name(one.name)
    if one.user is not None and not _USER.fullmatch(one.user):
        raise UsageError(f"{one.user!r} is no name of a user.")
    text = shared_file(USER_UNIT if one.user is None else SYSTEM_UNIT).read_text(encoding="utf-8")
    environment = {RUN_DIR: one.run_dir, LOG_DIR: one.log_dir, HOME: one.home}
    if one.config is not None:
        environment[ENV_CONFIG] = one.config
    values = {
        "RuntimeDirectory": [one.name],
        "WorkingDirectory": [_path(one.home)],
        "Environment": [
            *(_word(f"{name}={_path(path)}") for name, path in environment.items()),
            *([f"{NO_PLUGINS}=1"] if one.built_in_only else []),
        ],
        "EnvironmentFile": [_path(one.environment_file)],
        "ExecStart": [_command(*one.command, "up", "--foreground")],
        "ExecReload": [_command(*one.command, "cluster", "ctl", "reload", "--waiting")],
    }
    if one.user is not None:
        values |= {"User": [one.user], "Group": [one.user], "StateDirectory": [one.name], "LogsDirectory": [one.name]}
    for key, lines in values.items():
        text = _put(text, key, [f"{key}={line}" for line in lines])
    if one.user is not None:
        text = _put(text, "ProtectHome", _reach(one))
    return text.replace(f"edit {NAME}'", f"edit {one.name}'")


def _reach(one: Installation) -> list[str]:
    """Return what lets a service reach places that it otherwise would not: as little as it needs."""
    needed = (one.home, one.log_dir, Path(one.command[0]), *one.reads, *((one.config,) if one.config else ()))
    hidden = any(path.is_relative_to(home) for path in needed for home in _HOMES)
    lines = ["ProtectHome=read-only" if hidden else "ProtectHome=yes"]
    own = {Path("/var/lib", one.name): one.home, Path("/var/log", one.name): one.log_dir}
    written = [_word(_path(path)) for usual, path in own.items() if path != usual]
    if written:
        lines.append(f"ReadWritePaths={' '.join(written)}")
    return lines


def _put(text: str, key: str, lines: list[str]) -> str:
    """Put lines where those of ``key`` are, which follow each other."""
    found = re.compile(rf"(?:^{key}=.*\n)+", re.MULTILINE)
    if len(found.findall(text)) != 1:
        raise UsageError(f"The unit that comes with stellarstream has not one place for {key}.")
    return found.sub(lambda _: "".join(f"{line}\n" for line in lines), text)


def _path(path: Path) -> str:
    """Return a path as it stands in a unit: ``%`` begins a specifier there."""
    text = str(path)
    if not text.isprintable() or text != text.strip():
        raise UsageError(f"The path {text!r} cannot stand in a unit of systemd.")
    return text.replace("%", "%%")


def _command(program: str, *arguments: str) -> str:
    if any(character in "'\"\\" for character in program):
        raise UsageError(f"systemd runs no program whose path has quotes or backslashes: {program}.")
    # variables are put in arguments, and not in the path of the program
    words = [_path(Path(program)), *(word.replace("%", "%%").replace("$", "$$") for word in arguments)]
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
