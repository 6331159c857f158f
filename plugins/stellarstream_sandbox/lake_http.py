"""The data lake over HTTP under ``/lake``: objects made from the kept history when they are asked for."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from hashlib import sha256

from aiohttp import web

from stellarstream_core.errors import UsageError
from stellarstream_sandbox.history import History
from stellarstream_sandbox.lake import MANIFEST, NEEDS_ZSTANDARD, LakeDirectory, LakeLayout, lake_object, zstandard

PREFIX = "/lake"

_CORS = {"Access-Control-Allow-Origin": "*"}


class LakeServer:
    """Answers GET and HEAD for the manifest and for every object that the history completes.

    ``directory`` is the lake that is written besides, if one is: it has the objects whose ledgers
    are not kept in memory any more.
    """

    def __init__(
        self, history: History, layout: LakeLayout, passphrase: str, directory: LakeDirectory | None = None
    ) -> None:
        self._history = history
        self._layout = layout
        self._manifest = layout.manifest(passphrase)
        self._directory = directory

    def add_routes(self, app: web.Application) -> None:
        """Answer GET and HEAD under ``/lake``."""
        app.router.add_get(PREFIX, self._handle)
        app.router.add_get(PREFIX + "/{key:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        key = request.match_info.get("key", "")
        try:
            body, modified = await asyncio.to_thread(self._object, key)
        except UsageError:
            return web.Response(status=501, text=f"{NEEDS_ZSTANDARD}\n", headers=_CORS)
        if body is None:
            return web.Response(status=404, text="There is no such object in this lake.\n", headers=_CORS)
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        headers = {**_CORS, "ETag": tag, "Last-Modified": formatdate(modified, usegmt=True)}
        known = {one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")}
        if tag in known or "*" in known:
            return web.Response(status=304, headers=headers)
        kind = "application/json" if key == MANIFEST else "application/octet-stream"
        return web.Response(body=body, headers=headers, content_type=kind)

    def _object(self, key: str) -> tuple[bytes | None, int]:
        """Return an object, or None, and when it was written: when its last ledger closed."""
        zstandard()
        history = self._history.archive()
        if key == MANIFEST:
            return self._manifest, history.close_time(history.oldest)
        sequence = self._layout.ledger_of(key)
        if sequence is None:
            return None, 0
        body = lake_object(history, self._layout, sequence)
        if body is not None:
            return body, history.close_time(self._layout.batch(sequence)[1])
        if self._directory is not None and sequence < history.oldest:
            return self._directory.read(key), history.close_time(history.oldest)
        return None, 0
