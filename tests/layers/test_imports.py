"""Importing the layers brings in no backend but Keras's own."""

import os
import subprocess
import sys

import keras


def test_no_other_backend_is_imported():
    others = {"jax", "tensorflow", "torch"} - {keras.backend.backend()}
    code = (
        "import sys, keras, keras_rs; before = set(sys.modules);"
        "import shortlist.layers, shortlist.losses, shortlist.metrics;"
        f"print(sorted(set({sorted(others)!r}) & (set(sys.modules) - before)))"
    )
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
