"""A plugin in two versions, the second of which has another schema: what 'pip install --upgrade' puts in its place."""

from __future__ import annotations

from pathlib import Path

NAME = "upgraded"
FIRST, SECOND = 1, 2

_PLUGIN = """
from pathlib import Path

from peewee import SQL

from stellarstream_core import hookimpl
from stellarstream_core.api.models import Nothing, Represented
from stellarstream_core.api.routes import Call, Route
from stellarstream_core.hookspecs import ModelSet

VERSION = {version}


class Places(Represented):
    version: int
    places: list[str]


async def places(call: Call[Nothing, Nothing, Nothing]) -> Places:
    database = call.api.database

    def read(db):
        return [row[0] for row in db.execute_sql("SELECT {column} FROM upgraded ORDER BY id").fetchall()]

    return Places(version=VERSION, places=await database.run(database.storage.read, read))


@hookimpl
def register_routes():
    return [Route(method="GET", path="/places", handler=places, answer=Places, tag="places", summary="Places")]


@hookimpl
def register_models():
    return ModelSet("upgraded", Path(__file__).parent / "migrations")
"""
_MIGRATIONS = {
    FIRST: """
def up(migrator, db):
    db.execute_sql("CREATE TABLE upgraded (id INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL)")
    for number in range(1, 2001):
        db.execute_sql(f"INSERT INTO upgraded (id, name) VALUES ({number}, 'place {number}')")
""",
    SECOND: """
def up(migrator, db):
    db.execute_sql("ALTER TABLE upgraded ADD COLUMN title TEXT NOT NULL DEFAULT ''")
    db.execute_sql("UPDATE upgraded SET title = 'The ' || name")
    db.execute_sql("CREATE INDEX upgraded_title ON upgraded (title)")
""",
}
_COLUMN = {FIRST: "name", SECOND: "title"}


def install(site: Path, version: int) -> None:
    """Put a version into a folder of packages, in the place of another one."""
    info = site / f"{NAME}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    _write(info / "METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}.0\n")
    _write(info / "entry_points.txt", f"[stellarstream]\n{NAME} = stellarstream_{NAME}\n")
    package = site / f"stellarstream_{NAME}"
    (package / "migrations").mkdir(parents=True, exist_ok=True)
    for number in range(FIRST, version + 1):
        _write(package / "migrations" / f"{number:04d}_version_{number}.py", _MIGRATIONS[number])
    _write(package / "__init__.py", _PLUGIN.replace("{version}", str(version)).replace("{column}", _COLUMN[version]))


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
