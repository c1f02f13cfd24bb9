import re
from dataclasses import replace

from matplotlib.figure import Figure

from shortlist.models import TrainingLog

HISTORY = TrainingLog(
    loss=(0.9, 0.5, 0.4),
    validation=(0.1, 0.3, 0.2),
    monitor="hit_rate@10",
    best_epoch=2,
    seconds=1.5,
)


def test_a_history_draws_itself() -> None:
    figure = HISTORY.plot()
    assert isinstance(figure, Figure)
    drawn = [list(line.get_ydata()) for axes in figure.axes for line in axes.lines]
    assert [0.9, 0.5, 0.4] in drawn
    assert [0.1, 0.3, 0.2] in drawn


def test_a_notebook_shows_what_each_epoch_came_to() -> None:
    def cells(history: TrainingLog) -> list[list[str]]:
        rows = re.findall(r"<tr>(.*?)</tr>", history._repr_html_())
        return [re.findall(r"<t[hd]>(.*?)</t", row) for row in rows]

    assert "epoch 2 of 3, 1.5 s" in HISTORY._repr_html_()
    assert cells(HISTORY)[0] == ["epoch", "loss", "hit_rate@10"]
    assert cells(HISTORY)[2:] == [["2", "0.5000", "0.3000"], ["3", "0.4000", "0.2000"]]
    assert cells(replace(HISTORY, validation=()))[:2] == [["epoch", "loss"], ["1", "0.9000"]]
