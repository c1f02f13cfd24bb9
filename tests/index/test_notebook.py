"""What a notebook shows of an index, its results and a tuning."""

import re
from html import escape

import numpy as np
import pytest

from shortlist.index import Index, tune


@pytest.fixture(scope="module")
def index():
    rows = np.random.default_rng(0).standard_normal((300, 8), dtype=np.float32)
    return Index.build(rows, [f"<b>{row}</b>" for row in range(300)])


def cells(html):
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


def test_an_index_shows_its_size_and_settings(index):
    shown = dict(cells(index._repr_html_()))
    assert shown["rows"] == "300"
    assert shown["metric"] == "dot"
    assert shown["settings.exact"] == str(index.settings.exact)
    assert "{" not in "".join(shown.values())


def test_results_show_the_ids_and_scores_of_each_query(index):
    result = index.search(index.vectors(["<b>4</b>", "<b>7</b>"]), 3)
    _, first, second = cells(result._repr_html_())
    assert first[0] == "0"
    assert first[1].startswith(f"{escape(result.ids[0, 0])} (")
    assert f"({result.scores[1, 0]:.4g})" in second[1]
    assert "<b>" not in result._repr_html_()


def test_a_single_query_has_one_row(index):
    result = index.search(np.ones(8), 3)
    assert len(cells(result._repr_html_())) == 2
    assert "1 query, 3 results each" in result._repr_html_()


def test_long_results_are_cut_and_padding_is_empty(index):
    many = index.search(np.ones((50, 8)), 20)
    assert len(cells(many._repr_html_())) == 11
    assert "50 queries, 20 results each, the first 10 shown" in many._repr_html_()
    few = index.search(np.ones(8), 3, allow=["<b>4</b>"])
    assert cells(few._repr_html_())[1][2:] == ["", ""]
    assert index.search(np.empty((0, 8)), 3)._repr_html_()


def test_a_tuning_shows_its_curve(index):
    tuning = tune(index, np.random.default_rng(1).standard_normal((60, 8)), recall=0.9)
    html = tuning._repr_html_()
    assert len(cells(html)) == len(tuning.curve) + 1
    assert f"recall@10 {tuning.recall:.4f}" in html
