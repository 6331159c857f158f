"""What must be in place before a cluster is started: what would only make every process fail, again and again."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from stellarstream_core.api.run_dir import make_private
from stellarstream_core.errors import InvalidStrkeyError, SettingsError, UsageError
from stellarstream_core.ops.alerts import is_http
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import ENV_PREFIX, Settings
from stellarstream_core.storage import Storage
from stellarstream_core.xdr.strkey import decode

HOW_TO_MAKE = {
    "secret_key": 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"',
    "signing_key": 'python3 -c "from stellar_sdk import Keypair; print(Keypair.random().secret)"',
}
"""Commands that make the secrets which all workers share."""
_PRIVATE = 0o077
_VERSION_SEED, _SEED_BYTES = 18 << 3, 32


def check_configuration(found: Runtime, *, indexer: bool = True) -> None:
    """Raise ``SettingsError``, ``StorageError`` or ``UsageError`` for what the processes cannot work with.

    An empty database gets its schema here; one that lacks migrations is left alone, for nobody may have saved it.
    Without an ``indexer`` nobody needs to know what is to be indexed.
    """
    check_secrets(found.settings)
    check_webhook(found.settings)
    found.check_database_url()
    if indexer and not found.settings.contracts:
        raise UsageError(
            "No contract to index: 'contracts' is not set.",
            help="Set it in stellarstream.toml (STELLARSTREAM_CONTRACTS): contract ids, or '*' for everything.",
        )
    storage = found.open_storage(create=True)
    try:
        if indexer:
            _check_start(found, storage)
    finally:
        storage.close()


def check_secrets(settings: Settings) -> None:
    """Raise ``SettingsError`` where a secret is missing, or cannot be one, and say how to make one."""
    from stellarstream_core.api.auth.tokens import SHORTEST_SECRET  # noqa: PLC0415 - not needed to show help

    missing = [name for name in HOW_TO_MAKE if getattr(settings, name) is None]
    if missing:
        several = "several workers have to agree on it, and it is not set"
        raise SettingsError(
            "\n".join(f"{name}: {several}." for name in missing),
            help="\n  ".join(["Make it, and set it in the environment:", *(_how_to_set(name) for name in missing)]),
        )
    if settings.secret_key is not None and len(settings.secret_key.get_secret_value()) < SHORTEST_SECRET:
        raise SettingsError(
            f"secret_key: it is too short; it needs {SHORTEST_SECRET} characters.",
            help=f"Make one: {HOW_TO_MAKE['secret_key']}",
        )

    if settings.signing_key is not None and not _is_seed(settings.signing_key.get_secret_value()):
        raise SettingsError(
            "signing_key: it is no secret key of a Stellar account (S…).",
            help=f"Make one: {HOW_TO_MAKE['signing_key']}",
        )


def check_webhook(settings: Settings) -> None:
    """Raise ``SettingsError`` where alerts cannot be posted to ``alert_webhook``; its address is not repeated."""
    if settings.alert_webhook is not None and not is_http(settings.alert_webhook.get_secret_value()):
        raise SettingsError(
            "alert_webhook: it is no http or https address.",
            help="Set it (STELLARSTREAM_ALERT_WEBHOOK) to where alerts are posted, or leave it out.",
        )


def _is_seed(text: str) -> bool:
    try:
        version, key = decode(text)
    except InvalidStrkeyError:
        return False
    return version == _VERSION_SEED and len(key) == _SEED_BYTES


def _how_to_set(name: str) -> str:
    return f'export {ENV_PREFIX}{name.upper()}="$({HOW_TO_MAKE[name]})"'


def _check_start(found: Runtime, storage: Storage) -> None:
    if found.settings.start_ledger is None and not storage.sync_states():
        raise UsageError(
            "Nothing was ever synced, and nobody said from which ledger on: 'start_ledger' is not set.",
            help="Set it in stellarstream.toml (STELLARSTREAM_START_LEDGER), or begin with a sync: "
            "'stellarstream sync --from -1000'.",
        )


def make_folders(run_dir: Path, log_dir: Path) -> None:
    """Make the folders that circusd needs. Raises ``SettingsError`` where others could steer it.

    Whoever can write to the control socket can run any command as this user.
    """
    make_private(run_dir)
    found = run_dir.lstat()
    mode = stat.S_IMODE(found.st_mode)
    help = "Set 'run_dir' (STELLARSTREAM_RUN_DIR) to a folder of the user that runs the service, with mode 0700."
    if not stat.S_ISDIR(found.st_mode):
        raise SettingsError(f"run_dir: {run_dir} is no folder.", help=help)
    if found.st_uid != os.geteuid():
        raise SettingsError(f"run_dir: {run_dir} belongs to another user (uid {found.st_uid}).", help=help)
    if mode & _PRIVATE:
        raise SettingsError(f"run_dir: {run_dir} is open to other users (mode {mode:04o}).", help=help)
    try:
        log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"log_dir: {log_dir} cannot be made: {error.strerror or error}.") from None
