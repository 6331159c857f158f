"""Settings for who must get on though some are wrong: those that hold, and what is wrong with the others.

Who looks for a service that runs, ends it or reads its logs needs no more than its folders. Nothing is started so.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stellarstream_core.errors import SettingsError
from stellarstream_core.settings import CONFIG_FILE, ENV_CONFIG, ENV_PREFIX, Settings, load_settings

_NO_FILE = Path(os.devnull)


@dataclass(frozen=True, slots=True)
class LenientSettings:
    """What could be read. ``fault`` is what is wrong, None where nothing is.

    ``passed_over`` are the keys whose values are wrong; ``whole``: the file itself could be read.
    """

    settings: Settings
    fault: SettingsError | None = None
    passed_over: frozenset[str] = frozenset()
    whole: bool = True

    def knows(self, key: str) -> bool:
        """Tell whether this key has the value that was meant, were it none."""
        return key not in self.passed_over and (self.whole or bool(os.environ.get(_variable(key))))

    @property
    def warning(self) -> str | None:
        """What is wrong, in one line; None where nothing is."""
        if self.fault is None:
            return None
        return f"{self.fault.title}, passed over: {'; '.join(self.fault.message.splitlines())}"


def read_leniently(config: Path | None = None) -> LenientSettings:
    """Read settings as :func:`load_settings` does, and pass over those that are wrong; never raise for them."""
    try:
        return LenientSettings(load_settings(config))
    except SettingsError as error:
        fault = error
    written = _written(config)
    given = {**(written or {}), **_from_variables()}
    kept: dict[str, Any] = {}
    for key in sorted(given, reverse=True):  # a passphrase comes before the network that may need it
        try:
            load_settings(_NO_FILE, environ={}, flags={**kept, key: given[key]})
        except SettingsError:
            continue
        kept[key] = given[key]
    settings = load_settings(_NO_FILE, environ={}, flags=kept)
    return LenientSettings(settings, fault, frozenset(given) - frozenset(kept), written is not None)


def _written(config: Path | None) -> Mapping[str, Any] | None:
    """Return what the file holds; None where it cannot be read."""
    named = config or (Path(os.environ[ENV_CONFIG]) if os.environ.get(ENV_CONFIG) else None)
    try:
        with (named or Path(CONFIG_FILE)).open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {} if named is None else None
    except (OSError, ValueError, RecursionError):
        return None


def _from_variables() -> dict[str, str]:
    """Return the framework's own settings that the environment holds; nobody here needs a plugin's."""
    names = {key: _variable(key) for key in Settings.model_fields if key != "plugins"}
    return {key: os.environ[name] for key, name in names.items() if os.environ.get(name, "").strip()}


def _variable(key: str) -> str:
    return f"{ENV_PREFIX}{key.upper()}"
