import numpy as np

from shortlist.data.invented.titles import GENRES, invent_titles


def test_two_thousand_titles_are_all_different() -> None:
    rng = np.random.default_rng(0)
    genres = [[GENRES[i % len(GENRES)], GENRES[(i * 7) % len(GENRES)]] for i in range(2000)]
    titles = invent_titles(genres, rng)
    assert len(set(titles)) == 2000
    assert all(title[0].isupper() and "{" not in title for title in titles)


def test_titles_speak_of_their_genre() -> None:
    westerns = " ".join(invent_titles([["Western"]] * 60, np.random.default_rng(0)))
    assert sum(word in westerns for word in ("Saddle", "Marshal", "Canyon", "Outlaw")) >= 3
    assert "Spellbook" not in westerns
