"""The commands there are, and what becomes of an error.

A command's module imports at its top only what its arguments need; frameworks and data are
imported when it runs, so that `shortlist --help` is quick.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from shortlist._extras import MissingExtraError, choose_backend, require
from shortlist.cli.demo import demo
from shortlist.cli.doctor import doctor
from shortlist.cli.evaluate import evaluate
from shortlist.cli.inspect import inspect
from shortlist.cli.live import events, items
from shortlist.cli.recommend import recommend
from shortlist.cli.report import report
from shortlist.cli.serve import serve
from shortlist.cli.similar import similar
from shortlist.cli.train import train
from shortlist.cli.tune import tune
from shortlist.cli.verify import verify

USAGE, DATA, BUNDLE = 2, 3, 4

app = typer.Typer(
    name="shortlist",
    help="The retrieval stage of a recommender system.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no Rich, and is there in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _needing(extra: str, command: Callable[..., None]) -> Callable[..., None]:
    """Returns the command, which first looks whether what its extra installs is there."""

    @functools.wraps(command)
    def checked(*args: Any, **options: Any) -> None:
        require(f"`shortlist {command.__name__}`", extra)
        if extra == "train":  # Keras itself would choose TensorFlow, installed or not
            os.environ["KERAS_BACKEND"] = choose_backend() or "jax"
        command(*args, **options)

    return checked


for needed, command in (
    ("train", demo),
    ("train", train),
    ("bundle", evaluate),
    ("bundle", tune),
    ("bundle", recommend),
    ("bundle", similar),
    ("report", report),
    ("serve", serve),
    ("bundle", inspect),
    ("bundle", verify),
):
    app.command()(_needing(needed, command))
app.command()(doctor)
app.add_typer(items, name="items")
app.add_typer(events, name="events")


def _version(shown: bool) -> None:
    if shown:
        import shortlist

        typer.echo(f"shortlist {shortlist.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """The retrieval stage of a recommender system."""


def run(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: The words after `shortlist`; `--debug` may stand anywhere.

    Returns:
        The exit code.
    """
    debug = "--debug" in arguments
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported
    try:
        return int(
            app(args=[word for word in arguments if word != "--debug"], standalone_mode=True) or 0
        )
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else 0 if stopped.code is None else 1
    except (ValueError, OSError, MissingExtraError) as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        return _exit_code(error)


def _exit_code(error: Exception) -> int:
    if isinstance(error, MissingExtraError):
        return USAGE
    from shortlist.bundle.manifest import BundleError

    return BUNDLE if isinstance(error, BundleError) else DATA
