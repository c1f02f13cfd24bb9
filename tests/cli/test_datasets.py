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


def test_other_column_names_point_to_the_toml_file(tmp_path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("customer,sku\n1,2\n")
    with pytest.raises(DataError, match="In a TOML file for `train --config`"):
        open_dataset(str(orders), None)
    with pytest.raises(DataError, match="no column 'client'") as caught:
        open_dataset(str(orders), None, columns={"user_id": "client", "item_id": "sku"})
    assert "TOML" not in str(caught.value)
