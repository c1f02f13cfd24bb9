from pathlib import Path

import pytest

from shortlist.cli.config import Config, ConfigError
from shortlist.data.features import FeatureSpec
from shortlist.models import Recipe

EXAMPLE = Path(__file__).parents[2] / "examples" / "train.toml"


def config(folder: Path, text: str) -> Config:
    path = folder / "train.toml"
    path.write_text(text)
    return Config.read(path)


def test_the_example_is_a_recipe_with_features() -> None:
    read = Config.read(EXAMPLE)
    recipe = Recipe.of(**read.settings)
    assert (read.dataset, recipe.layer_sizes, recipe.dropout) == ("sample", (64, 32), 0.1)
    assert list(FeatureSpec.from_dict(recipe.user_features)) == [
        "user_id",
        "gender",
        "age",
        "age_gender",
        "occupation",
    ]


def test_paths_start_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("user_id,item_id\n1,2\n")
    read = config(tmp_path, '[data]\ndataset = "views.csv"\nusers = "people.csv"')
    assert read.dataset == str(tmp_path / "views.csv")
    assert read.users == tmp_path / "people.csv"


def test_how_files_are_read_is_told(tmp_path: Path) -> None:
    read = config(
        tmp_path,
        '[data]\ndataset = "views"\nseparator = "tab"\nencoding = "cp1252"\ntext_ids = true\n'
        'time_unit = "ms"',
    )
    assert (read.separator, read.encoding, read.text_ids, read.time_unit) == (
        "\t",
        "cp1252",
        True,
        "ms",
    )


def test_folders_patterns_and_missing_files_are_looked_for_beside_it_too(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    for dataset in ("views", "views/*.parquet", "none.csv"):
        read = config(tmp_path, f'[data]\ndataset = "{dataset}"')
        assert read.dataset == str(tmp_path / dataset)
    assert config(tmp_path, '[data]\ndataset = "ml-100k"').dataset == "ml-100k"


def test_an_objective_brings_its_own_defaults(tmp_path: Path) -> None:
    read = config(tmp_path, '[model]\nobjective = "catalogue"\n[training]\nepochs = 3')
    assert Recipe.of(**read.settings) == Recipe.best(epochs=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\nseparator = '::'", "data.separator: expected one character or tab, got '::'"),
        ("[data]\ntime_unit = 'sec'", "data.time_unit cannot be 'sec'"),
        ("[data]\ntext_ids = 'yes'", "data.text_ids must be true or false, got 'yes'"),
        ("[data]\ncolumns = { user_id = 3 }", "data.columns.user_id must be a text, got 3"),
        ("[modle]", r"train.toml: unknown table 'modle'; did you mean 'model'\?"),
        ("[model]\nembeding_dim = 3", r"'embeding_dim' in \[model\]; did you mean 'embedding_dim'"),
        ("[data]\ndatasets = 'x'", r"'datasets' in \[data\]; did you mean 'dataset'"),
        ("[model]\nobjective = 'retrival'", "cannot be 'retrival'; did you mean 'retrieval'"),
        ("[training]\nepochs = 1.5", "training.epochs must be a whole number, got 1.5"),
        ("[training]\nepochs = true", "training.epochs must be a whole number, got True"),
        ("[training]\ndecay = 1", "training.decay must be true or false, got 1"),
        ("[model]\nlayer_sizes = [1.5]", "model.layer_sizes must be a list of whole numbers"),
        ("model = 3", "model must be a table, got 3"),
        ("[features.user]\nage = { kind = 'buket' }", "features.user: .*did you mean 'bucket'"),
        ("[features.user]\nage = { kind = 'bucket', cuont = 3 }", "did you mean 'count'"),
        ("[features]\nusers = {}", r"'users' in \[features\]; did you mean 'user'"),
        ("[model", "train.toml is not TOML"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read: No such file"):
        Config.read(tmp_path / "nowhere.toml")
