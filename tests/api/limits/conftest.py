"""A database of each dialect with the framework's own tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from stellarstream_core.plugins import CORE_MODELS
from stellarstream_core.storage import Storage
from stellarstream_sql.storage import open_postgresql, open_sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, tmp_path) -> Iterator[Storage]:
    """An open database with every table."""
    if request.param == "sqlite":
        opened = open_sqlite(f"sqlite:///{tmp_path / 'limits.db'}", [CORE_MODELS])
    else:
        opened = open_postgresql(request.getfixturevalue("postgres_url"), [CORE_MODELS])
    with closing(opened) as storage:
        storage.migrate()
        yield storage
