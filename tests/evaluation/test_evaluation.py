import json

import pytest
from rich.console import Console

from shortlist.evaluation import Evaluation

RESULT = Evaluation(
    metrics={"hit_rate@1": 0.25, "hit_rate@10": 0.5},
    baselines={"Popularity": {"hit_rate@1": 0.125, "hit_rate@10": 0.375}},
    ks=(1, 10),
    exclude_seen=True,
    num_users=3,
    num_positives=1234,
)


def test_it_becomes_plain_data() -> None:
    document = json.loads(json.dumps(RESULT.to_dict()))
    assert document["metrics"]["hit_rate@10"] == 0.5
    assert document["baselines"]["Popularity"]["hit_rate@1"] == 0.125
    assert document["exclude_seen"] is True


def test_an_unknown_metric_names_those_there_are() -> None:
    with pytest.raises(KeyError, match="there are hit_rate@1, hit_rate@10"):
        RESULT["ndcg@1"]


def test_the_table_shows_the_baseline_beside() -> None:
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(RESULT)
    text = captured.get()
    assert "1,234 held-out interactions of 3 users" in text
    assert "0.2500" in text
    assert "0.1250" in text


def test_a_notebook_shows_the_same_table() -> None:
    html = RESULT._repr_html_()
    assert "1,234 held-out interactions of 3 users, seen items left out" in html
    assert "<th>@10</th>" in html
    assert "<td>hit_rate</td><td>model</td><td>0.2500</td><td>0.5000</td>" in html
    assert "<td></td><td>Popularity</td><td>0.1250</td><td>0.3750</td>" in html
