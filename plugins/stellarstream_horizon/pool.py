"""The servers of ``horizon_url`` as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from stellarstream_core.endpoints import pool
from stellarstream_core.endpoints.timing import Timing
from stellarstream_horizon.endpoints import Endpoint
from stellarstream_horizon.settings import HorizonSettings


class Pool(pool.Pool[Endpoint]):
    """The configured Horizon servers in order of preference."""

    kind: ClassVar[str] = "Horizon"
    settings: HorizonSettings

    def __init__(self, endpoints: Sequence[Endpoint], settings: HorizonSettings, timing: Timing) -> None:
        super().__init__(endpoints, settings, timing)
