"""The thread that follows the commits: it reads each once, encodes what is wanted, and hands it over.

It hands over one batch at a time and goes on when the loop has given every reader its turn. So the
readers set the pace, they are not served against a thread that encodes, and nothing piles up between
the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Event, Thread
from typing import Protocol

from loguru import logger

from stellarstream_core.api.live.batches import Batch, cut
from stellarstream_core.api.live.filters import EventFilter
from stellarstream_core.api.live.frames import Frames
from stellarstream_core.api.live.positions import Place
from stellarstream_core.api.live.reading import HistoryChangedError, LiveStorage, Tip, read_pieces, read_tip
from stellarstream_core.errors import StorageError
from stellarstream_core.storage import Commit, CommitWatch

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0


class Listener(Protocol):
    """Who is told. It is called in the follower's thread, and returns when the loop has dealt with it."""

    def filters(self) -> Iterable[EventFilter]:
        """Return what readers want now."""
        ...

    def began(self, tip: Tip) -> None:
        """Hear from where on commits are followed: at first, and again where the history is another one."""
        ...

    def came(self, batch: Batch) -> None:
        """Hear of the next batch, sealed."""
        ...

    def followed(self, healthy: bool) -> None:
        """Hear whether the storage can be followed now."""
        ...

    def ended(self) -> None:
        """Hear that the following has ended: the thread touches nothing any more."""
        ...


class Follower:
    """Follows the commits of a storage from the one that is newest at the start, until it is stopped.

    A storage that fails is asked again after a pause that grows; what was committed meanwhile is read
    from where the following had come to: nothing is left out, and nothing comes twice.
    """

    def __init__(self, storage: LiveStorage, listener: Listener, look_seconds: float) -> None:
        self._storage = storage
        self._listener = listener
        self._look_seconds = look_seconds
        self._stopping = Event()
        self._watch: CommitWatch | None = None
        self._thread = Thread(target=self._run, name="live-follower", daemon=True)
        self._pause = FIRST_PAUSE_SECONDS
        self._frames: Frames | None = None
        self._next = Place(1)
        self._resume = ""
        self._newest: Commit | None = None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does so after what it is just reading."""
        self._stopping.set()
        if (watch := self._watch) is not None:
            # in a thread: a database that does not answer may hold up the closing of its connection
            Thread(target=watch.close, name="live-follower-stop", daemon=True).start()

    def _run(self) -> None:
        while not self.stopping:
            try:
                self._follow()
            except Exception as error:  # whatever it is, readers stay connected and it is tried again
                if self.stopping:
                    break
                if isinstance(error, StorageError):
                    logger.warning("the live stream waits for the database: {}", error)
                else:
                    logger.opt(exception=error).error("the live stream cannot follow the commits")
                self._listener.followed(healthy=False)
                self._stopping.wait(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self._listener.ended()

    def _follow(self) -> None:
        """Follow on one watch until it breaks."""
        watch = self._watch = self._storage.watch()
        try:
            while not self.stopping:
                self._catch_up()
                self._listener.followed(healthy=True)
                self._pause = FIRST_PAUSE_SECONDS
                watch.wait(self._next.commit - 1, self._look_seconds)
        finally:
            self._watch = None
            watch.close()

    def _catch_up(self) -> None:
        """Hand over everything that is stored and was not handed over yet."""
        frames = self._frames or self._begin()
        while not self.stopping:
            try:
                pieces = read_pieces(self._storage, frames.epoch, self._next, self._resume, self._newest)
            except HistoryChangedError:
                logger.warning("the database holds another history now: readers of the live stream are told")
                frames = self._begin()
                continue
            if not pieces:
                return
            for batch in cut(pieces):
                complete = [piece.commit for piece in batch.pieces if piece.complete]
                batch.seal(self._listener.filters(), frames)
                self._listener.came(batch)
                self._next, self._resume = batch.end, batch.resume
                self._newest = complete[-1] if complete else self._newest

    def _begin(self) -> Frames:
        tip = read_tip(self._storage)
        self._listener.began(tip)
        self._next, self._resume, self._newest = tip.place, "", tip.newest
        self._frames = Frames(tip.epoch)
        return self._frames
