"""``stellarstream serve``: the HTTP API, the live stream and the dashboard."""

from __future__ import annotations

import asyncio

import click

from stellarstream_core.cli.logs import log_what_is_said
from stellarstream_core.cli.options import database_option, runtime, set_up_logging
from stellarstream_core.cli.output import say
from stellarstream_core.cli.stopping import StopOnSignals
from stellarstream_core.ops.process import supervised_role
from stellarstream_core.ops.readiness import ReadyInTime
from stellarstream_core.ops.supervised import present
from stellarstream_core.runtime import Runtime


@click.command()
@click.option("--host", help="Address to listen on. Default: api_host, which is 127.0.0.1 unless set.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one. Default: api_port, else 3000.")
@click.option(
    "--fd",
    type=click.IntRange(0),
    help="Take requests from this listening socket instead; for supervisors that start several workers.",
)
@database_option
@click.pass_context
def serve(ctx: click.Context, host: str | None, port: int | None, fd: int | None, database: str | None) -> None:
    """Serve the API, its documentation and the dashboard until Ctrl-C.

    \b
    Dashboard            http://127.0.0.1:3000/
    Documentation        http://127.0.0.1:3000/docs
    Events               http://127.0.0.1:3000/api/v1/events?limit=10
    Events as they come  curl -N http://127.0.0.1:3000/api/v1/events/live

    It reads the database that 'stellarstream sync --follow' fills, in another process; an empty one is
    prepared. Logins need 'secret_key' and 'signing_key': without them both are made for this process
    alone, so that sessions end with it. With --fd, where several workers must agree, they are required.

    The log has a line for each request (--log-level warning leaves them out); with 'log_dir' it is in files.
    SIGTERM and Ctrl-C finish what is being answered, tell live streams, and end within 5 seconds.
    """
    if fd is not None and (host is not None or port is not None):
        raise click.UsageError("--fd brings its own address: leave --host and --port out.")
    found = runtime(ctx, database_url=database, api_host=host, api_port=port)
    set_up_logging(ctx, found.settings, usual_level="info")
    with StopOnSignals() as signals:
        asyncio.run(_serve(found, fd, signals, supervised_role("api")))


async def _serve(found: Runtime, fd: int | None, signals: StopOnSignals, role: str | None) -> None:
    from stellarstream_core.api.server import address_of, inherited, listen  # noqa: PLC0415 - aiohttp is not needed to show help
    from stellarstream_core.api.serving import serve as serve_until  # noqa: PLC0415 - likewise

    stop = signals.event()
    settings = found.settings
    sock = inherited(fd) if fd is not None else listen(settings.api_host, settings.api_port)
    with sock:
        address = address_of(sock)
        if settings.origin("public_url") == "default":  # links then lead where it does listen
            found = found.with_flags({"public_url": f"http://localhost:{address.rpartition(':')[2]}"})

        def started() -> None:
            in_time.done()
            say(f"Serving {address} (dashboard /, documentation /docs); Ctrl-C ends it.")
            log_what_is_said(f"serving {address}")

        with (
            ReadyInTime(role, "the database and the plugins") as in_time,
            present(found.settings, role) as presence,
        ):
            await serve_until(found, sock, stop, shared=fd is not None, started=started, presence=presence)
    say("Ended.")
    log_what_is_said("ended")
