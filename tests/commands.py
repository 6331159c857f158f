"""Starting ``stellarstream`` as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

CLI = "stellarstream_core.cli"


class Started(subprocess.Popen):
    """``python -m MODULE ARGUMENTS``, with the keywords of ``subprocess.Popen``."""

    def __init__(self, module: str, *arguments: str, **options: Any) -> None:
        super().__init__([sys.executable, "-m", module, *arguments], **options)


def start(*arguments: str, **options: Any) -> subprocess.Popen:
    """Start ``stellarstream ARGUMENTS``, with the keywords of ``subprocess.Popen``."""
    return Started(CLI, *arguments, **options)


def run(*arguments: str, timeout: float | None = None, **options: Any) -> subprocess.CompletedProcess:
    """Run ``stellarstream ARGUMENTS`` to its end; its output is captured as text unless the keywords say otherwise."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with start(*arguments, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
