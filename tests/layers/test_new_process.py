"""A saved model in a process that has imported nothing but Keras."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from shortlist.layers import BruteForceRetrieval

LOAD = "import sys, keras{more}; keras.models.load_model(sys.argv[1])"


@pytest.mark.parametrize("more", ["", ", shortlist.layers"])
def test_the_layers_must_be_imported_before_a_model_is_loaded(more, tmp_path):
    inputs = keras.Input((4,))
    layer = BruteForceRetrieval(np.eye(4), k=2)
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(more=more), str(tmp_path / "model.keras")],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
        check=False,
    )
    if more:
        assert done.returncode == 0, done.stderr
    else:  # The words that docs/layers.md and the README can be found by.
        assert "Could not locate class 'BruteForceRetrieval'" in done.stderr
