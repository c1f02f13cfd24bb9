"""The model card of a bundle: what it is and how good, for people."""

from collections.abc import Mapping
from typing import Any


def model_card(run: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Write the card.

    Args:
        run: What `run.json` holds; `data`, `arguments`, `metrics` and `versions` are shown.
        facts: Names and values of what the bundle holds.

    Returns:
        Markdown.
    """
    name = str(run.get("name", "Two-tower retrieval model"))
    parts = [f"# {_plain(name)}", "A [Shortlist](https://pypi.org/project/shortlist/) bundle."]
    sections = [("Contents", facts)]
    sections += [
        (title, value)
        for key, title in (
            ("metrics", "Metrics"),
            ("data", "Data"),
            ("arguments", "Arguments"),
            ("versions", "Versions"),
        )
        if isinstance(value := run.get(key), Mapping) and value
    ]
    for title, table in sections:
        rows = "\n".join(f"| {_plain(key)} | {_plain(value)} |" for key, value in table.items())
        parts.append(f"## {title}\n\n| | |\n|---|---|\n{rows}")
    parts.append("## Use\n\n```bash\nshortlist serve FOLDER_OF_THIS_FILE\n```")
    return "\n\n".join(parts) + "\n"


def _plain(value: Any) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    for character in "\\`*_[]<>|#":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
