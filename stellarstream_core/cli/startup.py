"""``stellarstream startup``: the systemd unit of this installation."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click

from stellarstream_core.cli.app import runtime_of
from stellarstream_core.cli.output import say
from stellarstream_core.errors import UsageError
from stellarstream_core.ops.control import require_circus
from stellarstream_core.ops.environment import HOME, LOG_DIR, home_folder
from stellarstream_core.ops.unit_file import NAME, Installation, check_name, unit_for
from stellarstream_core.settings import CONFIG_FILE, ENV_CONFIG

_OTHERS = 0o007


@click.command()
@click.option("--install", is_flag=True, help="Write it to where systemd looks for it, instead of to stdout.")
@click.option("--user", "own", is_flag=True, help="A unit of your own systemd: needs no root, runs as you.")
@click.option("--name", default=NAME, show_default=True, help="Its name and that of its folders: for a second one.")
@click.option("--run-as", metavar="USER", help="Who runs the service. Default: you; if you are root, a user NAME.")
@click.option(
    "--environment",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Settings and secrets. Default: /etc/NAME/NAME.env, with --user ~/.config/NAME/NAME.env.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Install below this folder, for a machine that is yet to be, and tell no systemd.",
)
@click.pass_context
def startup(
    ctx: click.Context,
    install: bool,
    own: bool,
    name: str,
    run_as: str | None,
    environment: Path | None,
    root: Path | None,
) -> None:
    """Print the systemd unit that runs this installation, from boot on; or install it.

    \b
    stellarstream startup                    print it
    sudo stellarstream startup --install     install it; 'systemctl enable --now stellarstream' starts it
    stellarstream startup --user --install   the same for a service of your own

    The unit runs 'stellarstream up --foreground' as a user that is not root, shut off from the rest of the
    machine, and starts it again when it ends or hangs. Settings and secrets are in the environment file. The
    working directory is STELLARSTREAM_HOME, else this folder where stellarstream.toml is in it, else
    /var/lib/NAME (with --user ~/.local/state/NAME). contrib/setup.sh makes the user, folders and the file, too.
    """
    require_circus()
    check_name(name)
    if own and run_as:
        raise UsageError("--user runs as you, --run-as as somebody else.", help="Give one of the two.")
    usual = _own(name) if own else _machine(name, run_as)
    installation = _as_it_is(ctx, usual, environment.absolute() if environment else None)
    text = unit_for(installation)
    if not install:
        say(text.rstrip("\n"))
        return
    folder = _config_folder() / "systemd" / "user" if own else Path("/etc/systemd/system")
    target = (root / folder.relative_to("/") if root else folder) / f"{name}.service"
    changed = _write(target, text, root)
    say(f"wrote {target}" if changed else f"{target} is as it should be")
    if root is None:
        if changed:
            _tell_systemd(own)
        _say_what_next(installation)


def _machine(name: str, run_as: str | None) -> Installation:
    user = run_as or (name if os.geteuid() == 0 else getpass.getuser())
    if user == "root":
        raise UsageError("The service does not run as root.", help="--run-as names another user.")
    paths = (Path(f"/var/lib/{name}"), Path(f"/var/log/{name}"), Path(f"/run/{name}"), Path(f"/etc/{name}/{name}.env"))
    return Installation(name, (), user, *paths)


def _own(name: str) -> Installation:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / name
    run_dir = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / name
    return Installation(name, (), None, state, state / "logs", run_dir, _config_folder() / name / f"{name}.env")


def _config_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config").absolute()


def _as_it_is(ctx: click.Context, usual: Installation, environment: Path | None) -> Installation:
    """Return the installation with what was said of it, by options and variables."""
    config = runtime_of(ctx).config or (Path(os.environ[ENV_CONFIG]) if os.environ.get(ENV_CONFIG) else None)
    log_dir = os.environ.get(LOG_DIR)
    script = Path(sys.executable).parent / "stellarstream"
    usable = script.is_file() and os.access(script, os.X_OK)
    return replace(
        usual,
        command=(str(script),) if usable else (sys.executable, "-m", "stellarstream_core.cli"),
        home=home_folder(os.environ) if os.environ.get(HOME) or Path(CONFIG_FILE).is_file() else usual.home,
        log_dir=Path(log_dir).expanduser().absolute() if log_dir else usual.log_dir,
        environment_file=environment or usual.environment_file,
        config=config.absolute() if config else None,
        reads=(Path(sys.base_prefix), Path(__file__).resolve()),
        built_in_only=runtime_of(ctx).built_in_only,
    )


def _write(target: Path, text: str, root: Path | None) -> bool:
    """Write the unit, not out of ``root``, and tell whether that changed it; another one is kept beside it."""
    if root is not None and not target.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{target} leads out of {root}: a symbolic link is in its path.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file():
            if target.read_text(encoding="utf-8", errors="replace") == text:
                return False
            target.replace(old := target.with_name(f"{target.name}.old"))
            say(f"kept the one that was there as {old}")
        new = target.with_name(f".{target.name}.new")
        new.write_text(text, encoding="utf-8")
        new.chmod(0o644)
        new.replace(target)
    except OSError as error:
        raise UsageError(
            f"The unit cannot be written: {target}: {error.strerror or error}.",
            help="Run it with sudo, or with --user for a service of your own.",
        ) from None
    return True


def _tell_systemd(own: bool) -> None:
    """Let a systemd that runs read its units again; without one there is nothing to tell."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    there = Path(runtime, "systemd", "private").exists() if own else Path("/run/systemd/system").is_dir()
    if not there:
        return
    command = ["systemctl", *(["--user"] if own else []), "daemon-reload"]
    try:
        subprocess.run(command, check=True)  # noqa: S603 - our own command
    except (OSError, subprocess.CalledProcessError):
        say(f"'{' '.join(command)}' failed: run it yourself.", err=True)


def _say_what_next(installation: Installation) -> None:
    own, name, file = installation.user is None, installation.name, installation.environment_file
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        say(f"{file} is not there, and the service does not start without it: see contrib/stellarstream.env.", err=True)
    except OSError:
        pass  # not for us to see
    else:
        if mode & _OTHERS:
            say(f"{file} holds secrets, and everybody can read it: chmod o= {file}", err=True)
    systemctl = "systemctl --user" if own else "systemctl"
    say(f"start it, now and with the machine:  {systemctl} enable --now {name}")
    if own:
        say(f"let it run while you are not there:  loginctl enable-linger {getpass.getuser()}")
    say(f"how it is:                           {systemctl} status {name}")
