"""`shortlist items` and `shortlist events`: changes to a bundle's live state."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist._extras import require
from shortlist.cli.output import Json, console, print_json, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shortlist.live import Follower, Receipt

BundlePath = Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")]
Place = Annotated[
    str | None,
    typer.Option(
        "--live",
        help="Where changes are kept: a SQLite file or postgresql://…; a file beside the bundle "
        "without it.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        help="A name for this call; where it comes again, nothing is applied twice.",
    ),
]

items = typer.Typer(help="Add, remove and list items of a bundle's live state.")
events = typer.Typer(help="Add what users did to a bundle's live state.")
for group in (items, events):
    group.callback()(lambda: require("`shortlist items` and `shortlist events`", "bundle"))


@items.command("add")
def add_items(
    bundle: BundlePath,
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="ITEM...",
            help='Items as JSON: \'{"id": 7, "attributes": {"year": 1979}}\', with an '
            '"embedding" if need be; or @FILE with one a line.',
        ),
    ],
    live: Place = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Add items, or change those that are there."""
    from shortlist.live import ItemUpsert

    with _following(bundle, live) as follower:
        changes = [
            ItemUpsert(
                _id(follower, "item", one.pop("id")),
                one.pop("attributes", None),
                one.pop("embedding", None),
            )
            for one in _objects(given, {"id"}, {"id", "attributes", "embedding"})
        ]
        with status("keeping the changes"):
            receipt = follower.append(changes, key=key)
        _said(follower, receipt, f"{len(changes):,} items put", as_json)


@items.command("remove")
def remove_items(
    bundle: BundlePath,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of items.")],
    live: Place = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Remove items: nobody gets them from now on."""
    from shortlist.live import ItemRemoval

    with _following(bundle, live) as follower:
        changes = [ItemRemoval(_id(follower, "item", one)) for one in ids]
        receipt = follower.append(changes, key=key)
        _said(follower, receipt, f"{len(changes):,} items removed", as_json)


@items.command("list")
def list_items(
    bundle: BundlePath,
    prefix: Annotated[str, typer.Option(help="How a word of the title or the id begins.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out.")] = 0,
    live: Place = None,
    as_json: Json = False,
) -> None:
    """List the items there are now."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    with _following(bundle, live) as follower:
        known = follower.current.items
        found = known.find(prefix, offset + limit)[offset:]
        rows = [
            {"id": item, **{name: _plain(one) for name, one in known.details(item).items()}}
            for item in found
        ]
    if as_json:
        print_json({"items": rows, "total": len(known)})
        return
    names = ["id", *known.table.columns[1:]]
    table = Table(box=box.SIMPLE_HEAD)
    for name in names:
        table.add_column(escape(name))
    for row in rows:
        table.add_row(*(escape(_shown(row[name])) for name in names))
    console().print(table)
    console().print(f"  {len(rows):,} of {len(known):,} items")


@events.command("add")
def add_events(
    bundle: BundlePath,
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="EVENT...",
            help='Events as JSON: \'{"user_id": 1, "item_id": 7}\', with a "timestamp" in seconds '
            "since 1970 if it was not now; or @FILE with one a line.",
        ),
    ],
    live: Place = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Say what users did: it is left out of what they get next."""
    from shortlist.live import Interaction

    with _following(bundle, live) as follower:
        needed = {"user_id", "item_id"}
        changes = [
            Interaction(
                _id(follower, "user", one["user_id"]),
                _id(follower, "item", one["item_id"]),
                one.get("timestamp"),
            )
            for one in _objects(given, needed, {*needed, "timestamp"})
        ]
        with status("keeping the changes"):
            receipt = follower.append(changes, key=key)
        _said(follower, receipt, f"{len(changes):,} events added", as_json)


@contextmanager
def _following(bundle: Path, live: str | None) -> Iterator[Follower]:
    from shortlist.bundle import Bundle
    from shortlist.live import Follower, LiveState

    loaded = Bundle.load(bundle)
    with LiveState.open(live or bundle) as state:
        yield Follower(loaded, state)


def _objects(given: list[str], needed: set[str], known: set[str]) -> list[dict[str, Any]]:
    """Return the JSON objects of words, and of the lines of files."""
    import msgspec

    from shortlist.data import DataError

    found = []
    for word in given:
        lines = Path(word[1:]).read_text("utf-8").splitlines() if word.startswith("@") else [word]
        for line in filter(str.strip, lines):
            try:
                one = msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
                raise DataError(f"{line[:60]!r} is no JSON object: {error}.") from None
            if not needed <= set(one) <= known:
                optional = ", ".join(sorted(known - needed))
                raise DataError(
                    f"{line[:60]!r} must have {', '.join(sorted(needed))} and may have {optional}."
                )
            found.append(one)
    return found


def _id(follower: Follower, what: str, value: Any) -> int | str:
    """Return an id of the kind that the bundle has."""
    from shortlist.data import DataError
    from shortlist.ids import are_text, parse_id

    bundle = follower.bundle
    text = bundle.items.text if what == "item" else are_text(bundle.tower.users.ids)
    known = parse_id(value, text, f"{what}_id")
    if known is None:
        raise DataError(f"`{what}_id` must be an integer, got {str(value)[:60]!r}.")
    return known


def _said(follower: Follower, receipt: Receipt, what: str, as_json: bool) -> None:
    place = follower.state.place
    if as_json:
        print_json({"live": place, "first": receipt.first, "last": receipt.last})
        return
    console().print(
        f"{what}, kept in {place} as changes {receipt.first} to {receipt.last}", markup=False
    )


def _plain(value: Any) -> Any:
    """A value as JSON has it: dates become text."""
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)


def _shown(value: object) -> str:
    return "" if value is None else str(value)
