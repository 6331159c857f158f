"""Stream families: what has to be known of a contract family beside its decoder, so that its events make streams.

The two generations of StellarStream's own contracts are built in; a plugin offers others through the hook
``nebula_families``. A process knows them once they were asked for (:func:`learn`): folds and views are pure
functions of events and of what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stellarstream_nebula.model import STREAM_FAMILIES

if TYPE_CHECKING:
    from stellarstream_core.decoding import DecodedEvent
    from stellarstream_core.events import ContractEvent
    from stellarstream_core.plugins import Plugins
    from stellarstream_nebula.meaning import Action
    from stellarstream_nebula.model import StreamState

HOOK = "nebula_families"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFamily:
    """A contract family whose events make streams. Its decoder is offered under the same name.

    ``stream_ids`` says which streams (64-bit numbers of the contract) an event belongs to; ``action`` what it does
    to them, None where nothing (:mod:`stellarstream_nebula.meaning` has the actions); ``unlocked`` how much of a
    stream is unlocked at a moment (Unix seconds), withdrawn or not, None where that is not known. All three are
    pure and never raise for what the decoder lets through. Raise ``rules`` whenever one of them changes: what was
    folded by the old ones is built again.
    """

    family: str
    rules: int
    stream_ids: Callable[[DecodedEvent], Sequence[int]]
    action: Callable[[DecodedEvent, ContractEvent], Action | None]
    unlocked: Callable[[StreamState, int], int | None]


_known: dict[str, StreamFamily] = {}
_owners: dict[str, str] = {}
"""The plugin that offers each family: it may offer it anew, in other words each time."""


def offered(family: str) -> StreamFamily | None:
    """Return a plugin's family; None for the built-in ones and for those that nobody offers."""
    return _known.get(family)


def makes_streams(family: str) -> bool:
    """Tell whether a family's events make streams."""
    return family in STREAM_FAMILIES or family in _known


def learn(plugins: Plugins) -> None:
    """Take note of the families that plugins offer. Asking again changes nothing.

    A plugin that answers something else, or offers a family that is taken, is taken out with all it offers.
    """
    for plugin, answer in plugins.ask_offered(HOOK):
        try:
            found = _checked(plugin, answer)
        except (TypeError, ValueError) as error:
            plugins.blame(HOOK, plugin, error)
        else:
            _known.update(found)
            _owners.update(dict.fromkeys(found, plugin))


def _checked(plugin: str, answer: object) -> dict[str, StreamFamily]:
    if not isinstance(answer, list | tuple):
        raise TypeError(f"{HOOK} must return a list, not {type(answer).__name__}")
    found: dict[str, StreamFamily] = {}
    for one in answer:
        if not isinstance(one, StreamFamily):
            raise TypeError(f"{HOOK} returned {type(one).__name__} where StreamFamily is due")
        if one.family in STREAM_FAMILIES or one.family in found or _owners.get(one.family, plugin) != plugin:
            raise ValueError(f"the stream family {one.family!r} is taken already")
        found[one.family] = one
    return found


def rules_of(family: str) -> str:
    """Return the version of a plugin's rules, for fingerprints; empty for what is built in."""
    return "" if (one := offered(family)) is None else f" by rules {one.rules}"
