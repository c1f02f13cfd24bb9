from matplotlib.figure import Figure

from shortlist.models import History


def test_a_history_draws_itself() -> None:
    history = History(
        loss=(0.9, 0.5, 0.4),
        validation=(0.1, 0.3, 0.2),
        monitor="hit_rate@10",
        best_epoch=2,
        seconds=1.5,
    )
    figure = history.plot()
    assert isinstance(figure, Figure)
    drawn = [list(line.get_ydata()) for axes in figure.axes for line in axes.lines]
    assert [0.9, 0.5, 0.4] in drawn
    assert [0.1, 0.3, 0.2] in drawn
