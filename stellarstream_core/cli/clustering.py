"""What 'up', 'down' and 'cluster' share: which deployment they are about."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stellarstream_core.cli.app import runtime_of
from stellarstream_core.cli.options import runtime
from stellarstream_core.errors import UsageError
from stellarstream_core.ops.environment import home_folder
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import ENV_CONFIG


def cluster_runtime(ctx: click.Context) -> tuple[Runtime, Path, Path | None]:
    """Return the deployment, the folder it works in, and its settings file where one was named.

    Settings and relative paths mean the same here as in the processes: what ``STELLARSTREAM_HOME`` names is the
    working directory from here on.
    """
    named = runtime_of(ctx).config or (Path(os.environ[ENV_CONFIG]) if os.environ.get(ENV_CONFIG) else None)
    config = named.absolute() if named else None
    home = home_folder(os.environ)
    try:
        os.chdir(home)
    except OSError as error:
        raise UsageError(f"STELLARSTREAM_HOME: {home}: {error.strerror}.") from None
    root = ctx.find_root()
    root.obj = Runtime(config, built_in_only=runtime_of(ctx).built_in_only)
    return runtime(ctx), home, config
