"""Which weights of a tower some candidates were embedded with."""

import hashlib
from typing import Any

import numpy as np
from keras import ops


class StaleCandidatesWarning(UserWarning):
    """The candidates of a layer are older than the weights of the tower that embeds them."""


def fingerprint(tower: Any) -> bytes:
    """Returns a digest of the weights of a model or layer."""
    digest = hashlib.blake2b(digest_size=16)
    for weight in tower.weights:
        digest.update(np.asarray(ops.convert_to_numpy(weight)).tobytes())
    return digest.digest()
