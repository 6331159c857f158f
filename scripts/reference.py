"""Write the reference pages from the code: ``python -m scripts.reference``.

A test fails where a page and the code differ, so the pages can be trusted.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from stellarstream_core import hookspecs
from stellarstream_core.cli.app import cli
from stellarstream_core.plugins import Plugins
from stellarstream_core.settings import Settings
from stellarstream_nebula.catalogue import FAMILIES
from stellarstream_nebula.shapes import Data, Kind, NameTopic, Place, Shape, Topic

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = "<!-- Written by 'python -m scripts.reference' from the code: change it there. -->\n"


def commands_page() -> str:
    """Return every command with its help, as it appears in a terminal."""
    parts = [NOTE, "# Commands\n", "The text of `stellarstream COMMAND --help`.\n"]
    root = click.Context(cli, info_name="stellarstream", terminal_width=100, max_content_width=100)
    root.params = {"config": None, "no_plugins": True}
    root.help_option_names = ["-h", "--help"]
    parts.append(_block("stellarstream", cli.get_help(root)))
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        assert command is not None  # noqa: S101 - it was just listed
        parts.extend(_command_parts(command, name, root))
    return "\n".join(parts)


def _command_parts(command: click.Command, name: str, parent: click.Context) -> list[str]:
    ctx = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    parts = [_block(ctx.command_path, command.get_help(ctx))]
    if isinstance(command, click.Group):
        for below in command.list_commands(ctx):
            found = command.get_command(ctx, below)
            assert found is not None  # noqa: S101 - it was just listed
            parts.extend(_command_parts(found, below, ctx))
    return parts


def _block(title: str, text: str) -> str:
    return f"## `{title}`\n\n```text\n{text.rstrip()}\n```\n"


def settings_page() -> str:
    """Return every setting of the framework and of the built-in plugins."""
    parts = [
        NOTE,
        "# Settings\n",
        "`stellarstream.toml`, then environment, then flags. An environment name is `STELLARSTREAM_` and the key in",
        "upper case; a plugin's is `STELLARSTREAM_PLUGINS__NAME__KEY`. `stellarstream config show` prints every value",
        "and where it comes from, `config check` names what is wrong.\n",
        _table(Settings, skip=("plugins",)),
    ]
    for section in Plugins.load(built_in_only=True).settings_sections():
        doc = inspect.cleandoc(section.model.__doc__ or "")
        parts += [f"## `[plugins.{section.name}]`\n", f"{doc}\n", _table(section.model)]
    return "\n".join(parts)


def _table(model: type, skip: tuple[str, ...] = ()) -> str:
    lines = ["| key | meaning | default |", "|---|---|---|"]
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]  # a pydantic model
        if name not in skip:
            default = "none" if field.default in (None, []) else f"`{field.default}`"
            lines.append(f"| `{name}` | {(field.description or '').replace('|', '&#124;')} | {default} |")
    return "\n".join(lines) + "\n"


def hooks_page() -> str:
    """Return every hook with its exact signature and its results' fields."""
    parts = [
        NOTE,
        "# Hooks\n",
        "What a plugin can implement, with the exact signatures; the [guide](../plugins.md) shows one being written.",
        "The results are classes of `stellarstream_core`.\n",
    ]
    for name in hookspecs.HOOK_NAMES:
        function = getattr(hookspecs, name)
        parts += [
            f"## `{name}{_signature(function)}`\n",
            f"{inspect.getdoc(function)}\n",
        ]
    return "\n".join(parts)


def _signature(function: object) -> str:
    return str(inspect.signature(function)).replace("'", "")  # type: ignore[arg-type]  # a function


def stream_events_page() -> str:
    """Return every event the stream plugin decodes: a table a contract family."""
    parts = [
        NOTE,
        "# Stream events\n",
        "Every event that is decoded, by contract family: [how they are told apart](../stream-events.md).",
        "`name` stands for the topic with the event's own name. A key with `?` may be left out.\n",
    ]
    for family in FAMILIES:
        parts += [
            f"## `{family.name}`\n",
            f"{family.summary}\n",
            "| event | variant | topics | data | |",
            "|---|---|---|---|---|",
        ]
        parts += [_event_row(shape, "") for shape in family.head]
        parts += [_event_row(shape, "historical") for shape in family.historical]
        parts.append("")
    return "\n".join(parts)


def _event_row(shape: Shape, era: str) -> str:
    names = ", ".join(f"`{name}`" for name in shape.names)
    variant = f"`{shape.variant}`" if shape.variant else ""
    topics = ", ".join(_event_topic(topic) for topic in shape.topics)
    return f"| {names} | {variant} | {topics} | {_event_data(shape.data)} | {era} |"


def _event_topic(topic: Topic) -> str:
    if topic is NameTopic.NAME:
        return "name"
    return f"`{topic}`" if isinstance(topic, str) else _event_field(topic)


def _event_field(place: Place) -> str:
    return f"`{place.name}`{'?' if place.type.optional else ''} {place.type.label}"


def _event_data(data: Data) -> str:
    fields = ", ".join(map(_event_field, data.fields))
    match data.kind:
        case Kind.MAP:
            return f"map {{{fields}}}"
        case Kind.SCALAR:
            return fields or "void"
        case _:
            return f"{data.kind.value} [{fields}]"


PAGE_MAKERS = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "hooks.md": hooks_page,
    "stream-events.md": stream_events_page,
}

if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    for page, make in PAGE_MAKERS.items():
        (PAGES / page).write_text(make(), encoding="utf-8")
