"""What 'up', 'down' and 'cluster' share: which deployment they are about."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stellarstream_core.cli.app import runtime_of
from stellarstream_core.cli.options import runtime, set_up_logging
from stellarstream_core.cli.output import say
from stellarstream_core.errors import UsageError
from stellarstream_core.ops.control import Control
from stellarstream_core.ops.environment import cluster_folder, home_folder
from stellarstream_core.ops.lenient import read_leniently
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import ENV_CONFIG


def cluster_runtime(ctx: click.Context) -> tuple[Runtime, Path, Path | None]:
    """Return the deployment, the folder it works in, and its settings file where one was named.

    Settings and relative paths mean the same here as in the processes: what ``STELLARSTREAM_HOME`` names is the
    working directory from here on.
    """
    home, config = _place(ctx)
    root = ctx.find_root()
    root.obj = Runtime(config, built_in_only=runtime_of(ctx).built_in_only)
    return runtime(ctx), home, config


def cluster_control(ctx: click.Context) -> Control:
    """Return what steers the deployment, whatever is wrong with settings: only its run folder is needed.

    What is wrong is said on stderr. Raises ``SettingsError`` where it keeps the run folder unknown.
    """
    home, config = _place(ctx)
    read = read_leniently(config)
    set_up_logging(ctx, read.settings)
    control = Control(cluster_folder(read.settings, home, config))
    if read.fault is not None and not read.knows("run_dir") and not control.running():
        raise read.fault
    if read.warning:
        say(read.warning, err=True)
    return control


def _place(ctx: click.Context) -> tuple[Path, Path | None]:
    """Go into the folder that the deployment works in; return it, and the settings file where one was named."""
    named = runtime_of(ctx).config or (Path(os.environ[ENV_CONFIG]) if os.environ.get(ENV_CONFIG) else None)
    config = named.absolute() if named else None
    home = home_folder(os.environ)
    try:
        os.chdir(home)
    except OSError as error:
        raise UsageError(f"STELLARSTREAM_HOME: {home}: {error.strerror}.") from None
    return home, config
