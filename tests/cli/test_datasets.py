import pytest

from shortlist.cli.datasets import open_dataset
from shortlist.data import DataError


def test_a_csv_or_parquet_file_is_read(ratings, tmp_path) -> None:
    interactions = open_dataset(str(ratings), None)
    parquet = tmp_path / "ratings.parquet"
    interactions.frame.write_parquet(parquet)
    assert open_dataset(str(parquet), None).frame.equals(interactions.frame)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'ml-latest-small'"):
        open_dataset("ml-latest-smal", None)
