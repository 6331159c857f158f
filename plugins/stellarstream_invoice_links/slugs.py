"""Slugs: what a link's addresses end with. Whoever has one may see the link, so nobody can guess one."""

from __future__ import annotations

from secrets import choice
from string import ascii_letters, digits

LENGTH = 12
"""Characters of a slug: 71 random bits. At a million guesses a second, one of a million links is hit in a century."""
ALPHABET = digits + ascii_letters
"""What a V2 contract can store as a memo, and what needs no escape in an address."""


def make_slug() -> str:
    """Return a new slug. That no link has it yet is for the database to say."""
    return "".join(choice(ALPHABET) for _ in range(LENGTH))
