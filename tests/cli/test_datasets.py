import pytest
import typer

from shortlist.cli.datasets import column_names, open_dataset
from shortlist.data import DataError


def test_a_csv_or_parquet_file_is_read(ratings, tmp_path) -> None:
    interactions = open_dataset(str(ratings), None)
    parquet = tmp_path / "ratings.parquet"
    interactions.frame.write_parquet(parquet)
    assert open_dataset(str(parquet), None).frame.equals(interactions.frame)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'ml-latest-small'"):
        open_dataset("ml-latest-smal", None)


def test_other_column_names_point_to_what_tells_them(tmp_path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("customer,sku\n1,2\n")
    with pytest.raises(DataError, match="`train` is told by --columns user_id=NAME"):
        open_dataset(str(orders), None)
    with pytest.raises(DataError, match="no column 'client'") as caught:
        open_dataset(str(orders), None, columns={"user_id": "client", "item_id": "sku"})
    assert "TOML" not in str(caught.value)


def test_columns_are_named_on_the_command_line() -> None:
    assert column_names("user_id=buyer, item_id = b=2") == {"user_id": "buyer", "item_id": "b=2"}


@pytest.mark.parametrize("text", ["", "user_id", "user_id=", "=buyer", "user_id=a,,item_id=b"])
def test_a_column_without_a_name_on_both_sides_is_wrong_usage(text) -> None:
    with pytest.raises(typer.BadParameter, match="expected names such as user_id=buyer"):
        column_names(text)


def test_a_column_named_twice_is_wrong_usage() -> None:
    with pytest.raises(typer.BadParameter, match="'user_id' is named twice"):
        column_names("user_id=a,user_id=b")
