"""`shortlist doctor`: what is installed and what was chosen."""

from __future__ import annotations

from shortlist.cli.output import Json, console, print_json, status

PACKAGES = (
    "shortlist",
    "numpy",
    "polars",
    "keras",
    "keras-rs",
    "jax",
    "tensorflow",
    "torch",
    "onnxruntime",
    "litestar",
)


def doctor(as_json: Json = False) -> None:
    """Show versions, the Keras backend, and the instruction set the engine chose."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    with status("looking around"):
        import keras

        from shortlist import _native

        versions: dict[str, str | None] = {}
        for package in PACKAGES:
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                versions[package] = None
    document = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "keras_backend": keras.config.backend(),
        "simd": {"chosen": _native.simd_level(), "available": list(_native.simd_levels())},
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
    table.add_row("Keras backend", document["keras_backend"])
    levels = _native.simd_levels()
    table.add_row("instruction set", f"{_native.simd_level()} (of {', '.join(levels)})")
    for package, installed in versions.items():
        table.add_row(package, installed or "[dim]not installed[/]")
    console().print(table)
