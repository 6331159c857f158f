"""Whose readers there are: so many for each client and each account, so that nobody holds every stream."""

from __future__ import annotations

from collections.abc import Sequence

from stellarstream_core.api.problems import ApiProblem


class TooManyReadersOfClientError(ApiProblem):
    """The client, or the account, has as many live streams as one may have."""

    code = "too-many-readers-of-client"
    title = "Too many live streams of one client"
    status = 429
    help = "Close streams that are not needed; one stream can carry several contracts."
    retry_after = 15
    """By then the service has noticed the streams whose client is gone without a word."""


class Owners:
    """Counts readers by their owners: names of clients and of accounts, which must not be the same."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._readers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def enter(self, owners: Sequence[str]) -> None:
        """Count a reader for each of its owners; raise :class:`TooManyReadersOfClientError` and count nothing."""
        for owner in owners:
            if self._readers.get(owner, 0) >= self._most:
                raise TooManyReadersOfClientError(f"There are {self._most} live streams of this client or account.")
        for owner in owners:
            self._readers[owner] = self._readers.get(owner, 0) + 1

    def leave(self, owners: Sequence[str]) -> None:
        """Count a reader no more."""
        for owner in owners:
            left = self._readers[owner] - 1
            if left:
                self._readers[owner] = left
            else:
                del self._readers[owner]
