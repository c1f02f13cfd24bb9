"""A training that was interrupted goes on to the result that it would have had."""

import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from shortlist.data import Interactions
from shortlist.models import TrainingLog, TwoTower
from shortlist.models.checkpoint import CheckpointError

RNG = np.random.default_rng(0)
VIEWS = Interactions.from_arrays(RNG.integers(0, 30, 300), RNG.integers(0, 40, 300))
HELD_OUT = Interactions.from_arrays(RNG.integers(0, 30, 60), RNG.integers(0, 40, 60))
TRAINING: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 64,
    "optimizer": "adam",
    "decay": True,
    "validation": HELD_OUT,
    "progress": False,
}


def model_of(objective: str = "retrieval", **options: Any) -> TwoTower:
    return TwoTower.from_interactions(VIEWS, embedding_dim=4, objective=objective, **options)


def outcome(model: TwoTower, log: TrainingLog) -> tuple[Any, ...]:
    """Weights and random states to the last bit, and the log but for its time."""
    variables = [*model.query_tower.variables, *model.candidate_tower.variables]
    values = [keras.ops.convert_to_numpy(variable).tobytes() for variable in variables]
    return values, log.loss, log.validation, log.best_epoch


class Interrupted:
    """Sends SIGTERM when something was called for the nth time."""

    def __init__(self, original: Any, nth: int) -> None:
        self.original, self.left = original, nth

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Calls what it stands for."""
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)
        return self.original(*args, **named)


CASES = [
    (
        "retrieval",
        {"dropout": 0.5, "layer_sizes": (4,)},
        "query_inputs",
        12,
    ),  # in the midst of an epoch
    ("retrieval", {}, "recommend", 2),  # when the second epoch is measured
]


@pytest.mark.parametrize(("objective", "options", "name", "nth"), CASES)
def test_sigterm_stops_at_a_step_and_resume_ends_as_if_it_had_not_come(
    tmp_path: Path, objective: str, options: dict[str, Any], name: str, nth: int
) -> None:
    training = {**TRAINING, "batch_size": 8 if objective == "catalogue" else 64}
    whole = model_of(objective, **options)
    expected = outcome(whole, whole.fit(VIEWS, **training))

    kept = tmp_path / "films.checkpoint"
    stopped = model_of(objective, **options)
    setattr(stopped, name, Interrupted(getattr(stopped, name), nth))
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        stopped.fit(VIEWS, **TRAINING, checkpoint=kept)
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == handler

    resumed = model_of(**options)
    log = resumed.fit(VIEWS, **TRAINING, checkpoint=kept, resume=True)
    assert outcome(resumed, log) == expected


class Counted:
    """Counts its calls, and fails after some."""

    def __init__(self, original: Any, most: int = 1_000) -> None:
        self.original, self.calls, self.most = original, 0, most

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Calls what it stands for."""
        self.calls += 1
        if self.calls > self.most:
            raise MemoryError
        return self.original(*args, **named)


def test_an_error_costs_no_more_than_its_epoch(tmp_path: Path) -> None:
    training = {**TRAINING, "optimizer": "adagrad"}
    whole, failing, resumed = model_of(), model_of(), model_of()
    whole.query_inputs = counted = Counted(whole.query_inputs)
    expected = outcome(whole, whole.fit(VIEWS, **training))
    failing.recommend = Counted(failing.recommend, 2)  # type: ignore[method-assign]
    kept = tmp_path / "films.checkpoint"
    with pytest.raises(MemoryError):
        failing.fit(VIEWS, **training, checkpoint=kept)
    resumed.query_inputs = again = Counted(resumed.query_inputs)
    log = resumed.fit(VIEWS, **training, checkpoint=kept, resume=True)
    assert outcome(resumed, log) == expected
    assert again.calls < counted.calls - 5  # not from the start


def test_early_stopping_goes_on_where_it_was(tmp_path: Path) -> None:
    training = {**TRAINING, "epochs": 30, "patience": 2, "decay": False}
    whole = model_of()
    expected = outcome(whole, whole.fit(VIEWS, **training))
    assert len(expected[1]) < 30
    kept = tmp_path / "films.checkpoint"
    stopped = model_of()
    stopped.recommend = Interrupted(stopped.recommend, len(expected[1]))  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        stopped.fit(VIEWS, **training, checkpoint=kept)
    for _ in range(2):  # the second time all is done
        resumed = model_of()
        log = resumed.fit(VIEWS, **training, checkpoint=kept, resume=True)
        assert outcome(resumed, log) == expected


def test_least_squares_goes_on_after_its_last_round(tmp_path: Path) -> None:
    training = {**TRAINING, "epochs": 6, "patience": 2}
    whole = model_of("least_squares")
    expected = outcome(whole, whole.fit(VIEWS, **training))
    stopped = model_of("least_squares")
    stopped.recommend = Interrupted(stopped.recommend, 2)  # type: ignore[method-assign]
    kept = tmp_path / "films.checkpoint"
    with pytest.raises(SystemExit):
        stopped.fit(VIEWS, **training, checkpoint=kept)
    resumed = model_of("least_squares")
    log = resumed.fit(VIEWS, **training, checkpoint=kept, resume=True)
    assert outcome(resumed, log) == expected


def test_another_training_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "films.checkpoint"
    model_of().fit(VIEWS, **TRAINING, checkpoint=kept)
    before = kept.read_bytes()
    others: list[tuple[dict[str, Any], Interactions, dict[str, Any], str]] = [
        ({}, VIEWS.take(range(299)), {}, "train differs"),
        ({}, VIEWS, {"validation": HELD_OUT.take(range(9))}, "validation differs"),
        ({}, VIEWS, {"epochs": 5}, "epochs was 3 and is 5"),
        ({}, VIEWS, {"batch_size": 32}, "batch_size was 64 and is 32"),
        ({}, VIEWS, {"optimizer": keras.optimizers.Adam(0.5)}, r"learning_rate was 0\.001.* 0\.5"),
        ({"seed": 1}, VIEWS, {}, "seed was 0 and is 1"),
        ({"objective": "catalogue"}, VIEWS, {}, r"objective was .Retrieval.* is .Catalogue"),
        ({"dropout": 0.5}, VIEWS, {}, r"query_tower\.dropout was 0\.0 and is 0\.5"),
    ]
    for options, train, changed, message in others:
        model = model_of(**options)
        weights = [weight.tolist() for weight in model.query_tower.get_weights()]
        with pytest.raises(CheckpointError, match=message):
            model.fit(train, **{**TRAINING, **changed}, checkpoint=kept, resume=True)
        assert [weight.tolist() for weight in model.query_tower.get_weights()] == weights
    assert kept.read_bytes() == before


def test_without_a_checkpoint_it_starts_anew_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = {**TRAINING, "epochs": 1, "progress": None}
    model_of().fit(VIEWS, **training, checkpoint=tmp_path / "c", resume=True)
    said = f"there is no checkpoint {tmp_path / 'c'} to go on from: starting anew"
    assert said in capsys.readouterr().err
    model_of().fit(VIEWS, **training, checkpoint=tmp_path / "c", resume=True)
    assert f"going on from {tmp_path / 'c'}: epoch 2, after 0 batches" in capsys.readouterr().err
    with pytest.raises(ValueError, match="`resume=True` needs `checkpoint`"):
        model_of().fit(VIEWS, **training, resume=True)
