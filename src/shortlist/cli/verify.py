"""`shortlist verify`: whether a bundle is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.output import Json, console, print_json, status


def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    as_json: Json = False,
) -> None:
    """Check a bundle's files against its manifest, and that it loads and answers."""
    from shortlist.bundle import Bundle

    with status("verifying"):
        loaded = Bundle.load(bundle)
        users = loaded.tower.users.ids[:1].tolist()
        if users:
            loaded.recommend(users, 1)
    manifest = loaded.manifest
    if as_json:
        print_json(
            {
                "bundle": str(bundle),
                "ok": True,
                "fingerprint": manifest.fingerprint,
                "files": len(manifest.files),
                "bytes": manifest.size,
            }
        )
        return
    console().print(
        f"[green]✓[/] {len(manifest.files)} files, {manifest.size:,} bytes: all as saved, "
        f"and it answers. Fingerprint [bold]{manifest.fingerprint}[/]"
    )
