"""Both dialects, and SQLite in memory, pass the suite for storage backends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from stellarstream_core.testing.storage_conformance import StorageConformance
from stellarstream_sql.storage import open_postgresql, open_sqlite


class TestSqlite(StorageConformance):
    @pytest.fixture
    def open_storage(self, tmp_path) -> Iterator:
        with ExitStack() as stack:
            yield lambda: stack.enter_context(closing(open_sqlite(f"sqlite:///{tmp_path / 'test.db'}")))


class TestPostgresql(StorageConformance):
    @pytest.fixture
    def open_storage(self, postgres_url) -> Iterator:
        with ExitStack() as stack:
            yield lambda: stack.enter_context(closing(open_postgresql(postgres_url)))
