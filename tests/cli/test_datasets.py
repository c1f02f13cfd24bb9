import pytest
import typer

from shortlist.cli.datasets import column_names, one_separator, open_dataset
from shortlist.data import DataError


def test_a_csv_or_parquet_file_is_read(ratings, tmp_path) -> None:
    interactions = open_dataset(str(ratings), None)
    parquet = tmp_path / "ratings.parquet"
    interactions.frame.write_parquet(parquet)
    assert open_dataset(str(parquet), None).frame.equals(interactions.frame)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'ml-latest-small'"):
        open_dataset("ml-latest-smal", None)


def test_an_error_advises_what_there_is_where_the_user_is(tmp_path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("customer,sku\n1,2\n")
    with pytest.raises(DataError, match=r"--columns user_id=NAME, or columns = { user_id = "):
        open_dataset(str(orders), None, by_options=True)
    with pytest.raises(DataError, match="no column 'user_id'") as caught:
        open_dataset(str(orders), None)
    assert "columns" not in str(caught.value).replace("no column", "")
    orders.write_bytes("user_id,item_id\nZoë,1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"--encoding cp1252, or encoding = .cp1252. under .data."):
        open_dataset(str(orders), None, by_options=True)
    with pytest.raises(DataError, match="no column 'client'"):
        open_dataset(str(orders), None, columns={"user_id": "client"}, encoding="cp1252")


def test_options_of_files_are_refused_for_a_data_set_of_a_name() -> None:
    with pytest.raises(DataError, match="`separator` belongs to a file, and 'sample' is none"):
        open_dataset("sample", None, separator=";")


def test_a_folder_and_a_pattern_are_read(tmp_path) -> None:
    for month in (1, 2):
        (tmp_path / f"views-{month}.csv").write_text(f"user_id,item_id\n{month},7\n")
    for name in (str(tmp_path), str(tmp_path / "views-*.csv")):
        assert open_dataset(name, None).frame.rows() == [(1, 7), (2, 7)]
    with pytest.raises(DataError, match=r"no file .*months-.*csv"):
        open_dataset(str(tmp_path / "months-*.csv"), None)


@pytest.mark.parametrize("typed", ["tab", "\\t", "\t"])
def test_a_tab_can_be_typed(typed) -> None:
    assert one_separator(typed) == "\t"


def test_a_separator_is_one_character() -> None:
    with pytest.raises(ValueError, match="one character or tab, got '::'"):
        one_separator("::")


def test_columns_are_named_on_the_command_line() -> None:
    assert column_names("user_id=buyer, item_id = b=2") == {"user_id": "buyer", "item_id": "b=2"}


@pytest.mark.parametrize("text", ["", "user_id", "user_id=", "=buyer", "user_id=a,,item_id=b"])
def test_a_column_without_a_name_on_both_sides_is_wrong_usage(text) -> None:
    with pytest.raises(typer.BadParameter, match="expected names such as user_id=buyer"):
        column_names(text)


def test_a_column_named_twice_is_wrong_usage() -> None:
    with pytest.raises(typer.BadParameter, match="'user_id' is named twice"):
        column_names("user_id=a,user_id=b")
