"""The health monitor as circus runs it: a plugin, in a process of its own."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import orjson
from circus.plugins import CircusPlugin
from loguru import logger
from tornado.ioloop import PeriodicCallback

from stellarstream_core.cli.logs import configure_logging, log_file_of
from stellarstream_core.ops.alerts import Webhook
from stellarstream_core.ops.control import Control
from stellarstream_core.ops.environment import HOME, RUN_DIR
from stellarstream_core.ops.health_look import PLUGIN
from stellarstream_core.ops.health_monitor import Monitor
from stellarstream_core.ops.health_rules import Limits
from stellarstream_core.ops.lenient import read_leniently
from stellarstream_core.ops.process import ROLE, die_with_parent
from stellarstream_core.settings import Settings

NAME = "health"
LOCK_NAME = "health.lock"
MEGABYTE = 1_000_000


class HealthMonitor(CircusPlugin):  # type: ignore[misc]  # circus has no types
    """Watches memory, CPU, number and heartbeat of processes; its limits come from the settings."""

    name = NAME

    def handle_init(self) -> None:
        """Read the settings as the processes do, and begin to look."""
        die_with_parent()
        os.chdir(os.environ.get(HOME, "."))
        os.environ[ROLE] = NAME
        settings = _settings()
        run_dir = Path(os.environ[RUN_DIR])
        self._lock = _alone(run_dir)
        limits = limits_of(settings)
        self._monitor = Monitor(Control(run_dir), run_dir, limits, _webhook(settings))
        self._timer = PeriodicCallback(self._turn, 1000 * min(1.0, limits.interval / 2))
        self._timer.start()

    def handle_recv(self, data: Any) -> None:
        """Hand over what circusd published."""
        try:
            watcher, topic, message = self.split_data(data)
            if not watcher.startswith(PLUGIN):
                self._monitor.heard(watcher, topic, orjson.loads(message))
        except Exception as error:  # the next one may be fine
            logger.opt(exception=error).error("the health monitor failed at an event")

    def _turn(self) -> None:
        try:
            self._monitor.turn()
        except Exception as error:  # the next look may be fine, and a monitor that ends sees nothing
            logger.opt(exception=error).error("the health monitor failed at a look")


def limits_of(settings: Settings) -> Limits:
    """Return the limits that the settings name; what has none of its own has that of an API worker."""
    memory = {"": settings.api_memory_mb * MEGABYTE, "indexer": settings.indexer_memory_mb * MEGABYTE}
    return Limits(memory, settings.cpu_percent, settings.stuck_seconds, settings.health_seconds)


def _settings() -> Settings:
    """Return the settings, without those that are wrong, and let the log go where they say."""
    read = read_leniently()
    configure_logging("info", read.settings.log_format, role=NAME, log_file=log_file_of(read.settings, NAME))
    if read.warning:
        logger.error("the health monitor goes by what else is set: {}", read.warning)
    return read.settings


def _webhook(settings: Settings) -> Webhook | None:
    if settings.alert_webhook is None:
        return None
    try:
        return Webhook(settings.alert_webhook.get_secret_value())
    except ValueError as error:
        logger.error("alerts go to the log only: {}", error)
        return None


def _alone(run_dir: Path) -> int:
    """Wait until a monitor that is about to end has ended; return what keeps others waiting."""
    fd = os.open(run_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd
