"""What both clients have alike: who they act for, and who signs. Nothing here waits for anything."""

from __future__ import annotations

from nebula_client._core.config import Core, visible
from nebula_client._core.effects import Operation
from nebula_client._core.submitting import Signing
from nebula_client.params import OnSubmitted
from nebula_client.signing import AnySigner


class Acting:
    """A client that acts for somebody."""

    _core: Core

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core.config.shown!r})"

    def logout(self) -> None:
        """Forget the token and every login; an API key stays."""
        self._core.session.log_out()

    def set_auth_token(self, token: str | None) -> None:
        """Act by the token of a login that was made elsewhere; None: by none."""
        self._core.session.use_token(None if token is None else visible(token, "token"))

    def set_api_key(self, key: str | None) -> None:
        """Act by an API key where there is no token; None: by none."""
        self._core.session.use_api_key(None if key is None else visible(key, "api_key"))

    def _by(
        self, signer: AnySigner | None, account: str | None, on_submitted: OnSubmitted | None
    ) -> Operation[Signing]:
        return Signing.of(self._core, signer, account, on_submitted)
