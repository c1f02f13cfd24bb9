"""`shortlist doctor`: what is installed and what was chosen."""

from __future__ import annotations

from typing import Any

from shortlist._extras import BACKENDS, EXTRAS, choose_backend, is_installed
from shortlist.cli.output import Json, console, print_json

PACKAGES = (
    "shortlist",
    "numpy",
    "polars",
    "keras",
    "keras-rs",
    "jax",
    "tensorflow",
    "torch",
    "onnx",
    "onnxruntime",
    "litestar",
)


def doctor(as_json: Json = False) -> None:
    """Show versions, extras, the Keras backend, and the instruction set the engine chose."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from shortlist import _native

    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    trains = is_installed("keras") and any(map(is_installed, BACKENDS))
    document: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "keras_backend": choose_backend() if trains else None,
        "simd": {"chosen": _native.simd_level(), "available": list(_native.simd_levels())},
        "extras": {extra: all(map(is_installed, modules)) for extra, modules in EXTRAS.items()},
        "versions": versions,
    }
    if as_json:
        print_json(document)
        return
    from rich import box
    from rich.table import Table

    table = Table(show_header=False, box=box.SIMPLE)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("Python", document["python"])
    table.add_row("system", f"{document['system']}, {document['cores']} cores")
    table.add_row("Keras backend", document["keras_backend"] or "[dim]none[/]")
    levels = _native.simd_levels()
    table.add_row("instruction set", f"{_native.simd_level()} (of {', '.join(levels)})")
    extras = [extra for extra, complete in document["extras"].items() if complete]
    table.add_row("extras", ", ".join(extras) or "[dim]none[/]")
    for package, installed in versions.items():
        table.add_row(package, installed or "[dim]not installed[/]")
    console().print(table)
