"""ScaNN's text configuration, a protocol buffer in its text form, as nested dicts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<token>"[^"]*"|'[^']*'|[{}<>:]|[^\s{}<>:;,"'\#]+)|[;,]""")
_CONSTANTS: dict[str, Any] = {"true": True, "false": False}


def to_text(config: Mapping[str, Any], indent: str = "") -> str:
    """Returns the text of a configuration.

    Example:
        >>> print(to_text({"num_neighbors": 10, "brute_force": {"fixed_point": {"enabled": True}}}))
        num_neighbors: 10
        brute_force {
          fixed_point {
            enabled: true
          }
        }
    """
    lines = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            inner = to_text(value, indent + "  ")
            lines += [f"{indent}{name} {{", *([inner] if inner else []), f"{indent}}}"]
        elif isinstance(value, bool):
            lines.append(f"{indent}{name}: {str(value).lower()}")
        elif isinstance(value, str) and not value.isupper():
            lines.append(f'{indent}{name}: "{value}"')
        else:
            lines.append(f"{indent}{name}: {value}")
    return "\n".join(lines)


def parse(text: str) -> dict[str, Any]:
    """Returns a text configuration as nested dicts; of a field that is repeated, the last.

    Args:
        text: For example what `to_text` or ScaNN's own builder returns.

    Raises:
        ValueError: It is no such text.

    Example:
        >>> parse('num_neighbors: 10 distance_measure { distance_measure: "DotProductDistance" }')
        {'num_neighbors': 10, 'distance_measure': {'distance_measure': 'DotProductDistance'}}
    """
    tokens, end = [], 0
    while end < len(text):
        match = _TOKEN.match(text, end)
        if match is None:
            raise _unreadable(text[end : end + 20])
        if match["token"]:
            tokens.append(match["token"])
        end = match.end()
    tokens.reverse()
    return _section(tokens, None)


def _section(tokens: list[str], closing: str | None) -> dict[str, Any]:
    """Reads fields up to `closing`; takes what it reads from the end of `tokens`."""
    section: dict[str, Any] = {}
    while tokens:
        name = tokens.pop()
        if name == closing:
            return section
        if not name.isidentifier():
            raise _unreadable(name)
        colon = tokens[-1:] == [":"] and tokens.pop()
        if not tokens:
            raise _unreadable(name)
        value = tokens.pop()
        if value in ("{", "<"):
            section[name] = _section(tokens, "}" if value == "{" else ">")
        elif colon and value not in ("}", ">", ":"):
            section[name] = _value(value)
        else:
            raise _unreadable(name)
    if closing is not None:
        raise ValueError(f"`scann_config` is no ScaNN configuration: a {closing!r} is missing.")
    return section


def _value(token: str) -> Any:
    if token[0] in "\"'":
        return token[1:-1]
    if token.lower() in _CONSTANTS:
        return _CONSTANTS[token.lower()]
    for kind in (int, float):
        try:
            return kind(token)
        except ValueError:
            pass
    return token


def _unreadable(near: str) -> ValueError:
    return ValueError(f"`scann_config` is no ScaNN configuration: cannot read it at {near!r}.")
