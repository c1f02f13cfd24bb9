"""Importing the layers brings in no backend but Keras's own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras

import shortlist.layers


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


def test_nothing_private_of_a_framework_is_read():
    private = re.compile(
        r"f_locals|currentframe|_getframe|object\.__setattr__|_tracker|_jax_state"
        r"|(from|import) (keras|keras_rs|jax|tensorflow|torch)[a-z_.]*\._"
        r"|\b(keras|jax|tf|torch)\.[a-z_.]*\._[a-z]"
    )
    sources = sorted(Path(shortlist.layers.__file__).parent.glob("*.py"))
    assert sources
    found = [
        f"{path.name}: {line.strip()}"
        for path in sources
        for line in path.read_text().splitlines()
        if private.search(line)
    ]
    assert not found
