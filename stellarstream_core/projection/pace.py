"""How much to do in one write: as much as fits well into the time that others may have to wait."""

from __future__ import annotations

from dataclasses import dataclass

WANTED_SECONDS = 0.08
"""How long a write should take: others wait meanwhile, and no write may take a quarter of a second."""


@dataclass(slots=True)
class Pace:
    """A size that follows the time things take: never more than doubled at once, never above ``most``."""

    size: int
    least: int
    most: int

    def took(self, done: int, seconds: float) -> None:
        """Learn from a write of ``done`` things that took so long."""
        if done <= 0:
            return
        fitting = done * WANTED_SECONDS / max(seconds, 1e-4)
        if fitting < self.size or done * 2 >= self.size:  # a small write that was quick says little of a large one
            self.size = int(max(self.least, min(fitting, self.size * 2, self.most)))
