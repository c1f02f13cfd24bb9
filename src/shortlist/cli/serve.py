"""`shortlist serve`: a bundle over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a folder of bundles named 1, 2, 3…")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8501,
    name: Annotated[
        str, typer.Option(help="The model's name for TensorFlow Serving and KServe clients.")
    ] = "shortlist",
    key: Annotated[
        list[str] | None,
        typer.Option(envvar="SHORTLIST_KEY", help="A key that clients must send; may be repeated."),
    ] = None,
    read_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="SHORTLIST_READ_KEY", help="A key that may read, and change nothing; repeatable."
        ),
    ] = None,
    live: Annotated[
        str | None,
        typer.Option(
            help="Take changes, and keep them here: a SQLite file, a bundle (a file beside it), or "
            "postgresql://…"
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a public address without a key.")
    ] = False,
) -> None:
    """Serve recommendations over HTTP, with a page to look at them."""
    import logging

    from rich.console import Console
    from rich.logging import RichHandler

    from shortlist.serving import ServiceSettings, check_address
    from shortlist.serving import serve as run

    handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    try:
        settings = ServiceSettings(
            name=name,
            host=host,
            port=port,
            keys=tuple(key or ()),
            read_keys=tuple(read_key or ()),
            live=live,
            insecure=insecure,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from None
    try:
        check_address(settings)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--host") from None
    run(bundle, settings)
