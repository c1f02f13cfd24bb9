import re
import shutil

import polars as pl

from shortlist.bundle import Bundle
from shortlist.cli.app import run


def test_the_page_holds_every_part_and_asks_for_nothing(answer, bundle, tmp_path) -> None:
    copy = tmp_path / "films"
    shutil.copytree(bundle, copy)
    assert run(["tune", str(copy)]) == 0
    document = answer("report", str(copy))
    page = (tmp_path / "films-report.html").read_text("utf-8")
    assert document["report"] == str(tmp_path / "films-report.html")
    for title in (
        "How good the recommendations are",
        "What the approximation costs",
        "What is shown, and to whom",
        "Some users",
        "How it learnt",
        "Configuration and versions",
    ):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<svg") == 3
    assert re.findall(r"(?:src|href)=[\"'](?!#)", page) == []
    assert "<script" not in page


def test_without_a_tuning_it_says_how_to_get_one(answer, bundle, tmp_path) -> None:
    answer("report", str(bundle), "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<code>shortlist tune</code> sweeps the index" in page


def test_a_title_is_shown_and_not_run(answer, bundle, tmp_path) -> None:
    loaded = Bundle.load(bundle)
    hostile = loaded.items.table.with_columns(title=pl.lit("<script>alert(1)</script>"))
    Bundle.save(
        tmp_path / "hostile",
        query_tower=(bundle / "query_tower.onnx").read_bytes(),
        users=loaded.tower.users,
        index=loaded.index,
        items=hostile,
    )
    answer("report", str(tmp_path / "hostile"), "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "The bundle holds no metrics" in page


def test_a_folder_that_is_not_there_is_said(fail, bundle, tmp_path) -> None:
    code, said = fail("report", str(bundle), "--out", str(tmp_path / "no" / "report.html"))
    assert code == 2
    assert "there is no folder" in " ".join(said.split())
