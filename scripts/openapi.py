"""Print what ``/openapi.json`` of a service with the built-in plugins says: ``python -m scripts.openapi``."""

from __future__ import annotations

import sys

from stellarstream_core.api import service
from stellarstream_core.api.app import all_routes
from stellarstream_core.api.auth.site import site_of
from stellarstream_core.plugins import Plugins
from stellarstream_core.settings import Settings


def description() -> bytes:
    """Return the description of the API, as JSON, without serving it; its server is the default ``public_url``."""
    site = site_of(Settings.model_fields["public_url"].default)
    return service._described(all_routes(Plugins.load(built_in_only=True)), site)


if __name__ == "__main__":
    sys.stdout.buffer.write(description())
