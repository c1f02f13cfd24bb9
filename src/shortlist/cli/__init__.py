"""The command line: `shortlist`."""

import sys
from collections.abc import Sequence

from shortlist._extras import MissingExtraError, needs


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 ok, 2 usage, 3 data, 4 bundle.

    Args:
        arguments: The words after `shortlist`; None takes those of the process.
    """
    try:
        with needs("The command line", "train"):
            from shortlist.cli.app import run
    except MissingExtraError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
