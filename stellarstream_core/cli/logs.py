"""The log on stderr: readable text, or one JSON object a line."""

from __future__ import annotations

import sys

LEVELS = ("trace", "debug", "info", "warning", "error")

TEXT = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}"


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)  # looked up at each call: tests and progress bars replace it


def configure_logging(level: str, log_format: str = "text") -> None:
    """Send the log to stderr from ``level`` on; stdout belongs to results."""
    from loguru import logger  # noqa: PLC0415 - 60 ms that --help does without

    logger.remove()
    # diagnose prints the values of variables into tracebacks: they may be secrets
    logger.add(
        _to_stderr,
        level=level.upper(),
        format=TEXT,
        serialize=log_format == "json",
        colorize=sys.stderr.isatty(),
        diagnose=False,
        backtrace=False,
    )
