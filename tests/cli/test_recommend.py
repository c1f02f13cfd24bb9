import pytest

from shortlist.cli.app import run


def test_items_come_best_first_and_unseen(answer, bundle) -> None:
    document = answer("recommend", str(bundle), "--user", "4", "-k", "5")
    (user,) = document["users"]
    assert user["user"] == 4
    scores = [row["score"] for row in user["recommendations"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    kept = answer("recommend", str(bundle), "--user", "4", "-k", "5", "--keep-seen")
    assert kept["users"][0]["recommendations"] != user["recommendations"]


def test_several_users_can_be_asked(answer, bundle) -> None:
    document = answer("recommend", str(bundle), "-u", "4", "-u", "5")
    assert [user["user"] for user in document["users"]] == [4, 5]


@pytest.mark.parametrize("user", ["9999", "ann"])
def test_an_unknown_user_is_told_what_ids_look_like(fail, bundle, user) -> None:
    code, said = fail("recommend", str(bundle), "--user", user)
    assert code == 3
    assert said == f"error: unknown user '{user}'; 40 users, ids like '0'…'39'\n"


def test_people_get_a_table(bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", str(bundle), "--user", "4"]) == 0
    assert "Recommended to user 4" in capsys.readouterr().out
