"""Tables for notebooks."""

from shortlist.html import html_table


def test_what_is_in_a_table_is_text() -> None:
    table = html_table("a < b", ["<i>"], [["&"]])
    assert "<i>" not in table
    assert "a &lt; b" in table
    assert "<td>&amp;</td>" in table
