import gzip
import shutil
from datetime import date

import polars as pl
import pytest

from shortlist.bundle import Bundle
from shortlist.cli.app import run


def test_the_bundle_says_how_it_came_about(bundle, ratings) -> None:
    run = Bundle.load(bundle).run
    assert run["data"]["name"] == "ratings.csv"
    assert run["arguments"]["embedding_dim"] == 8
    assert run["history"]["best_epoch"] <= 3
    assert 0 < run["metrics"]["hit_rate@10"] <= 1
    assert str(ratings.parent) not in str(run)


def test_what_stands_there_and_is_no_bundle_is_kept(fail, ratings, tmp_path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    code, _ = fail("train", str(tmp_path), "--dataset", str(ratings), "--epochs", "1")
    assert code == 4
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("share", ["0", "1.5", "x"])
def test_a_share_out_of_range_is_wrong_usage(fail, tmp_path, share) -> None:
    assert fail("train", str(tmp_path / "b"), "--test", share)[0] == 2


@pytest.fixture
def own_files(tmp_path, ratings):
    """Files under names of their own, and a TOML file that knows them."""
    frame = pl.read_csv(ratings).rename({"user_id": "viewer", "item_id": "film"})
    frame.write_parquet(tmp_path / "views.parquet")
    viewers = frame.select("viewer").unique().with_columns((pl.col("viewer") % 2).alias("camp"))
    viewers.write_csv(tmp_path / "viewers.csv")
    (tmp_path / "train.toml").write_text(
        """
        [data]
        dataset = "views.parquet"
        users = "viewers.csv"
        columns = { user_id = "viewer", item_id = "film" }
        [model]
        embedding_dim = 4
        layer_sizes = [8, 4]
        [training]
        epochs = 2
        patience = 0
        [features.user]
        camp = { kind = "category" }
        """
    )
    return tmp_path


def test_files_of_ones_own_train_by_a_toml_file(answer, own_files) -> None:
    out = str(own_files / "bundle")
    run = answer("train", out, "--config", str(own_files / "train.toml"), "--epochs", "3")
    assert run["data"]["name"] == "views.parquet"
    assert run["arguments"]["layer_sizes"] == [8, 4]
    assert run["arguments"]["user_features"] == {"camp": {"kind": "category"}}
    assert len(run["history"]["loss"]) == 3  # the option overrides the file
    again = answer("evaluate", out, "--dataset", str(own_files / "views.parquet"))
    assert again["metrics"]["hit_rate@10"] == pytest.approx(run["metrics"]["hit_rate@10"], abs=1e-6)


def test_columns_of_ones_own_are_told_on_the_command_line(answer, fail, own_files) -> None:
    views, out = str(own_files / "views.parquet"), str(own_files / "bundle")
    short = ["--epochs", "1", "--embedding-dim", "4"]
    code, said = fail("train", out, "--dataset", views, *short)
    assert code == 3
    assert "Say --columns user_id=NAME, or columns = { user_id" in " ".join(said.split())
    run = answer(
        "train", out, "--dataset", views, "--columns", "user_id=viewer,item_id=film", *short
    )
    assert run["data"]["columns"] == {"user_id": "viewer", "item_id": "film"}
    again = answer("evaluate", out, "--dataset", views)  # the bundle remembers the names
    assert again["metrics"]["hit_rate@10"] == pytest.approx(run["metrics"]["hit_rate@10"], abs=1e-6)


def test_the_history_tower_trains_into_a_bundle(answer, ratings, tmp_path) -> None:
    options = ["--objective", "catalogue", "--embedding-dim", "8", "--epochs", "2"]
    out = str(tmp_path / "bundle")
    run = answer("train", out, "--dataset", str(ratings), *options)
    again = answer("evaluate", out, "--dataset", str(ratings))
    assert again["metrics"]["hit_rate@10"] == pytest.approx(run["metrics"]["hit_rate@10"], abs=1e-6)


def test_an_unknown_key_of_the_toml_file_is_wrong_usage(fail, tmp_path) -> None:
    (tmp_path / "train.toml").write_text("[training]\nepoch = 3")
    code, said = fail("train", str(tmp_path / "b"), "--config", str(tmp_path / "train.toml"))
    assert code == 2
    assert "did you mean 'epochs'" in " ".join(said.split())


def test_the_time_of_a_query_trains_and_the_bundle_answers_without_it(
    answer, fail, tmp_path
) -> None:
    rows = [(user, item, 3600 * (user + item)) for user in range(12) for item in range(9)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    frame.write_csv(tmp_path / "views.csv")
    config = tmp_path / "train.toml"
    config.write_text(
        """
        [data]
        dataset = "views.csv"
        [training]
        epochs = 1
        [features.time]
        hour = { kind = "time", column = "timestamp" }
        """
    )
    run = answer("train", str(tmp_path / "bundle"), "--config", str(config))
    assert run["metrics_at_their_times"].keys() == run["metrics"].keys()
    again = answer("evaluate", str(tmp_path / "bundle"), "--dataset", str(tmp_path / "views.csv"))
    assert again["metrics"]["hit_rate@10"] == pytest.approx(run["metrics"]["hit_rate@10"], abs=1e-6)
    config.write_text(config.read_text().replace('"timestamp"', '"rating"'))
    code, said = fail("train", str(tmp_path / "b"), "--config", str(config))
    assert code == 3
    assert "must read the column 'timestamp' and no other" in " ".join(said.split())


def test_a_file_that_is_not_there_is_named_with_the_nearest(fail, ratings, tmp_path) -> None:
    wrong = ratings.with_name(ratings.name.replace("s.", "."))
    code, said = fail("train", str(tmp_path / "b"), "--dataset", str(wrong))
    assert code == 3
    assert f"there is no file '{wrong}'; did you mean '{ratings}'?" in said.replace("\n", "")


SHORT = ["--epochs", "1", "--patience", "0", "--embedding-dim", "4"]
PAIRS = [(user, item) for user in range(1, 9) for item in range(1, 9) if (user + item) % 3]


def rows(form: str, separator: str = ",", header: str = "user_id,item_id") -> str:
    """A file of `PAIRS`, each user and item written by a format such as `{user},A{item:03}`."""
    lines = [header, *(form.format(user=user, item=item) for user, item in PAIRS)]
    return "\n".join(line.replace(",", separator) for line in lines) + "\n"


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("views.csv", rows("{user},{item}", ";").encode(), []),
        ("views.tsv", rows("{user},{item}", "\t").encode(), []),
        ("views.txt", rows("{user},{item}", "^").encode(), ["--separator", "^"]),
        ("views.csv", rows("{user},{item}", "\t").encode("utf-16"), []),
        ("views.csv.gz", gzip.compress(rows("Zoë{user},{item}").encode("cp1252")),
         ["--encoding", "cp1252"]),
        ("views.csv", rows("{user},{item}", header="\ufeff user_id , item_id ").encode(), []),
    ],
)  # fmt: skip
def test_text_as_people_have_it_trains(answer, tmp_path, name, content, options) -> None:
    views, out = tmp_path / name, str(tmp_path / "bundle")
    views.write_bytes(content)
    run = answer("train", out, "--dataset", str(views), *SHORT, *options)
    assert run["data"]["interactions"] == len(PAIRS)
    again = answer("evaluate", out, "--dataset", str(views))  # the bundle remembers how it is read
    assert again["metrics"]["hit_rate@10"] == pytest.approx(run["metrics"]["hit_rate@10"], abs=1e-6)


def test_ids_of_digits_are_text_where_the_table_of_items_has_others(answer, tmp_path) -> None:
    (tmp_path / "views.csv").write_text(rows("{user},{item}"))
    titles = "".join(f"{item},Film {item}\n" for item in range(1, 9))
    (tmp_path / "films.csv").write_text("item_id,title\n" + titles + "X9,Unseen\n")
    views, films, out = (str(tmp_path / name) for name in ("views.csv", "films.csv", "bundle"))
    run = answer("train", out, "--dataset", views, "--items", films, *SHORT)
    bundle = Bundle.load(out)
    assert bundle.items.ids.to_list() == [str(item) for item in range(1, 9)]
    assert bundle.items.titles(bundle.items.ids.to_list()[:1]) == ["Film 1"]
    again = answer("evaluate", out, "--dataset", views)
    assert again["metrics"]["hit_rate@10"] == pytest.approx(run["metrics"]["hit_rate@10"], abs=1e-6)


def test_text_ids_are_asked_for(answer, tmp_path) -> None:
    (tmp_path / "views.csv").write_text(rows("{user},{item}"))
    out = str(tmp_path / "bundle")
    answer("train", out, "--dataset", str(tmp_path / "views.csv"), "--text-ids", *SHORT)
    assert Bundle.load(out).items.ids.to_list() == [str(item) for item in range(1, 9)]
    again = answer("evaluate", out, "--dataset", str(tmp_path / "views.csv"))
    assert set(again["metrics"]) >= {"hit_rate@10"}


@pytest.mark.parametrize(
    ("kind", "titles"),
    [
        (pl.Int64, ["1910", "1911"]),
        (pl.Boolean, ["true", "false"]),
        (pl.Categorical, ["a", "b"]),
        (pl.Date, ["2020-01-01", "2020-01-02"]),
        (pl.Float64, ["1.5", "2.0"]),
    ],
)
def test_titles_of_any_kind_become_text(answer, tmp_path, kind, titles) -> None:
    (tmp_path / "views.csv").write_text(rows("{user},{item}"))
    values = {
        pl.Int64: [1910, 1911],
        pl.Boolean: [True, False],
        pl.Categorical: ["a", "b"],
        pl.Date: [date(2020, 1, 1), date(2020, 1, 2)],
        pl.Float64: [1.5, 2.0],
    }[kind]
    films = pl.DataFrame({"item_id": [1, 2], "title": pl.Series(values, dtype=kind)})
    films.write_parquet(tmp_path / "films.pq")
    paths = ["--dataset", str(tmp_path / "views.csv"), "--items", str(tmp_path / "films.pq")]
    answer("train", str(tmp_path / "bundle"), *paths, *SHORT)
    items = Bundle.load(tmp_path / "bundle").items
    assert items.titles(items.ids.to_list()[:3]) == [*titles, ""]


def test_a_title_in_text_stays_as_it_is_written(answer, tmp_path) -> None:
    (tmp_path / "views.csv").write_text(rows("{user},{item}"))
    (tmp_path / "films.csv").write_text("item_id,title,year\n1,007,1962\n2,1917,2019\n")
    paths = ["--dataset", str(tmp_path / "views.csv"), "--items", str(tmp_path / "films.csv")]
    answer("train", str(tmp_path / "bundle"), *paths, *SHORT)
    items = Bundle.load(tmp_path / "bundle").items
    assert items.titles(items.ids.to_list()[:2]) == ["007", "1917"]
    assert items.details(items.ids[0]) == {"title": "007", "year": 1962}


@pytest.mark.parametrize(
    ("columns", "header", "expected"),
    [
        ([], "item_id,id,title", {"id": 11, "title": "B"}),
        ([], "item_id,row,score", {"row": 11, "score": "B"}),
        ([], "item_id,index,user_id", {"index": 11, "user_id": "B"}),
        (["sku"], "sku,item_id,title", {"item_id": 11, "title": "B"}),
        (["sku"], "sku,item_id,id", {"item_id": 11, "id": "B"}),
        (["title"], "title,item_id,id", {"item_id": 11, "id": "B"}),
    ],
)
def test_every_column_keeps_its_name_and_meaning(
    answer, tmp_path, columns, header, expected
) -> None:
    theirs = columns[0] if columns else "item_id"
    (tmp_path / "views.csv").write_text(rows("{user},{item}", header=f"user_id,{theirs}"))
    (tmp_path / "films.csv").write_text(header + "\n1,11,B\n2,12,C\n")
    named = [f"--columns=item_id={theirs}"] if columns else []
    paths = ["--dataset", str(tmp_path / "views.csv"), "--items", str(tmp_path / "films.csv")]
    answer("train", str(tmp_path / "bundle"), *paths, *named, *SHORT)
    items = Bundle.load(tmp_path / "bundle").items
    assert items.ids.to_list() == list(range(1, 9))
    assert items.details(items.ids[0]) == expected
    found = answer("recommend", str(tmp_path / "bundle"), "--user", "1", "-k", "8")
    assert found
    assert answer("similar", str(tmp_path / "bundle"), "--item", "1")


def test_a_failed_training_leaves_the_old_bundle_as_it_was(
    bundle, fail, ratings, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "films"
    shutil.copytree(bundle, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    films = pl.DataFrame({"item_id": [2, 4], "title": [["a"], ["b"]]})
    films.write_parquet(tmp_path / "films.parquet")
    options = ["train", str(out), "--dataset", str(ratings), *SHORT]
    code, said = fail(*options, "--items", str(tmp_path / "films.parquet"))
    assert (code, "expected text, got List" in said) == (3, True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shortlist.bundle.bundle.write_run", full)
    code, said = fail(*options)
    assert (code, "No space left" in said) == (3, True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    left = ["films", "films.checkpoint", "films.parquet"]  # what was learnt is not lost
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_what_cannot_be_replaced_is_said_before_the_data_are_read(fail, tmp_path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    code, said = fail("train", str(tmp_path), "--dataset", str(tmp_path / "none.csv"))
    assert code == 4
    assert "reading" not in said


def test_without_a_terminal_every_stage_has_a_line(capsys, ratings, tmp_path) -> None:
    assert run(["train", str(tmp_path / "b"), "--dataset", str(ratings), *SHORT]) == 0
    said = capsys.readouterr().err
    stages = ["reading the data", "starting Keras", "making a model", "measuring", "indexing"]
    places = [said.index(f"shortlist: {stage}") for stage in stages]
    assert places == sorted(places)


def test_more_held_out_than_asked_for_is_said(answer, capsys, tmp_path) -> None:
    times = [86_400 * (number // 7) for number in range(len(PAIRS))]
    times[-20:] = [times[-1]] * 20
    text = [f"{u},{i},{t}" for (u, i), t in zip(PAIRS, times, strict=True)]
    (tmp_path / "views.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(text))
    options = ["--dataset", str(tmp_path / "views.csv"), "--split", "time", *SHORT]
    run = answer("train", str(tmp_path / "bundle"), *options)
    assert run["split"] == (
        f"20 of {len(PAIRS)} interactions are held out, more than the share of 0.2 asked for: "
        "so many have the latest time."
    )


def test_a_search_takes_the_best_of_its_trials_and_the_run_records_them(
    answer, ratings, tmp_path
) -> None:
    options = ["--dataset", str(ratings), "--search", "1s", "--epochs", "2"]
    run = answer("train", str(tmp_path / "films"), *options)
    trials = run["search"]["trials"]
    best = trials[run["search"]["best"]]
    assert best["value"] == max(trial["value"] for trial in trials)
    assert run["arguments"].items() >= best["settings"].items()
    assert run["search"]["monitor"] == "recall@20"


def test_without_an_objective_the_recipe_that_suits_the_data_is_told(
    capsys, ratings, tmp_path
) -> None:
    options = ["--dataset", str(ratings), "--epochs", "2", "--embedding-dim", "4"]
    assert run(["train", str(tmp_path / "films"), *options]) == 0
    assert "recipe: objective catalogue, embedding_dim 4" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["soon", "0m", "-3s", "m"])
def test_a_time_that_is_none_is_wrong_usage(fail, ratings, tmp_path, given) -> None:
    options = ["--dataset", str(ratings), f"--search={given}"]
    code, said = fail("train", str(tmp_path / "films"), *options)
    assert code == 2
    assert "expected a time such as 90s, 10m or 1h" in " ".join(said.split())


def test_training_goes_on_from_a_bundle_with_new_ids(answer, fail, ratings, tmp_path) -> None:
    (tmp_path / "new.csv").write_text(rows("{user}0,{item}"))  # users 10 to 30 are known before
    (tmp_path / "films.csv").write_text("item_id,title\n1,One\n2,Two\n")
    first, out = str(tmp_path / "first"), str(tmp_path / "more")
    answer("train", first, "--dataset", str(ratings), "--objective", "retrieval", *SHORT)
    new = ["--dataset", str(tmp_path / "new.csv"), "--items", str(tmp_path / "films.csv")]
    new += ["--from", first, "--learning-rate", "0.00001"]
    run = answer("train", out, *new)
    assert run["from"] == "first"
    assert run["arguments"]["embedding_dim"] == 4  # as the bundle's
    former, now = Bundle.load(first), Bundle.load(out)
    known = former.tower.users.ids
    assert now.tower.users.ids.tolist() == [*known, 40, 50, 60, 70, 80]
    assert now.items.titles([0, 1, 2]) == ["", "One", "Two"]
    assert former.tower.embed(known) == pytest.approx(now.tower.embed(known), abs=0.01)
    assert set(former.histories[10]) < set(now.histories[10])
    code, said = fail("train", out, *new, "--embedding-dim", "16")
    assert code == 3
    assert "was trained with embedding_dim 4, and 16 is asked for" in " ".join(said.split())
    code, said = fail("train", out, *new[:-3], str(tmp_path / "none"))
    assert (code, "there is no such folder" in said) == (4, True)


def test_a_search_does_not_go_on_with_other_settings(fail, bundle, tmp_path) -> None:
    for option in (["--resume"], ["--from", str(bundle)]):
        code, said = fail("train", str(tmp_path / "b"), "--search", "1m", *option)
        assert code == 2
        assert f"{option[0]} goes on with the settings there were" in " ".join(said.split())
