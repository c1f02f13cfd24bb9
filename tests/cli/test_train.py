import polars as pl
import pytest

from shortlist.bundle import Bundle


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
    assert "--columns user_id=NAME,item_id=NAME" in " ".join(said.split())
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
