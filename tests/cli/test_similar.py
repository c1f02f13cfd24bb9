def test_similar_items_leave_out_the_item_itself(answer, bundle) -> None:
    (item,) = answer("similar", str(bundle), "--item", "6", "-k", "4")["items"]
    ids = [row["id"] for row in item["similar"]]
    assert item["item"] == 6
    assert len(ids) == 4
    assert 6 not in ids


def test_an_unknown_item_is_told_what_ids_look_like(fail, bundle) -> None:
    code, said = fail("similar", str(bundle), "--item", "x")
    assert code == 3
    assert "unknown item 'x'; 60 items, ids like '0'…'59'" in said
