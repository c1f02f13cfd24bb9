"""Your own towers: a Keras model that is all yours, with `ApproximateRetrieval` at its end.

Nothing of Shortlist is needed to train it. Two layers are: the loss, if you like, and the retrieval
layer, which stands where `keras_rs.layers.BruteForceRetrieval` stood.

    python examples/your_own_towers.py --data-dir path/to/ml-100k
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import tempfile
from pathlib import Path

import keras
import numpy as np
from movies import arguments, load

from shortlist.data import Vocabulary, split_random
from shortlist.layers import ApproximateRetrieval, RefreshCandidates
from shortlist.losses import RetrievalLoss
from shortlist.metrics import FactorizedTopK

options = arguments(__doc__)
keras.utils.set_random_seed(0)
ratings = load(options)
split = split_random(ratings, seed=0)
users, items = Vocabulary.from_ids(ratings.user_ids), Vocabulary.from_ids(ratings.item_ids)


def pairs(part):
    """Returns the indices of users and items, int32."""
    frame = part.frame
    return (
        users.encode(frame["user_id"]).astype("int32"),
        items.encode(frame["item_id"]).astype("int32"),
    )


def tower(size):
    """Returns a tower of your own: anything that ends in an embedding."""
    return keras.Sequential(
        [
            keras.layers.Embedding(size, 64),
            keras.layers.Dense(32),
            keras.layers.UnitNormalization(),
        ]
    )


class Towers(keras.Model):
    """Two towers and a retrieval layer; in training only the towers take part."""

    def __init__(self, shares):
        super().__init__()
        self.shares = keras.ops.convert_to_tensor(shares)
        self.viewer = tower(users.size)
        self.film = tower(items.size)
        # The one line that differs from keras_rs.layers.BruteForceRetrieval(k=10).
        self.retrieval = ApproximateRetrieval(k=10)
        self.softmax = RetrievalLoss(temperature=0.25)

    def call(self, inputs):
        """Returns the embeddings of viewers and of the films they chose."""
        viewer, film = inputs
        return self.viewer(viewer), self.film(film)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """In-batch softmax, with popular films, drawn as negatives more often, made up for."""
        del y, training
        queries, candidates = y_pred
        return self.softmax(
            queries,
            candidates,
            sample_weight,
            candidate_ids=x[1],
            sampling_probabilities=keras.ops.take(self.shares, x[1]),
        )


viewer, film = pairs(split.train)
shares = np.bincount(film, minlength=items.size) / len(film)
model = Towers(shares.astype("float32"))
model.compile(optimizer=keras.optimizers.Adam(0.003))

# The candidates are embedded and indexed anew after every epoch: index 0 is for films unknown, and
# the ids are the data's own.
catalogue = np.arange(1, items.size, dtype="int32")
refresh = RefreshCandidates(model.retrieval, model.film, catalogue, items.ids.astype("int32"))
history = model.fit(
    (viewer, film),
    np.zeros(len(film), "float32"),
    batch_size=512,
    epochs=1 if options.short else 8,
    callbacks=[refresh],
    verbose=0,
)
print(
    f"Loss {history.history['loss'][0]:.3f} after the first epoch, "
    f"{history.history['loss'][-1]:.3f} after the last"
)

# The share of held-out films among the first 10 and 100 of all, those seen in training kept.
metric = FactorizedTopK(
    keras.ops.convert_to_numpy(model.film(catalogue)), candidate_ids=items.ids, ks=(10, 100)
)
viewer, film = pairs(split.test)
metric.update_state(items.decode(film), model.viewer(viewer))
for name, share in metric.result().items():
    print(f"{name}: {float(share):.3f}")

# A model from viewer to films is saved with its candidates, and answers the same when loaded.
asked = keras.Input((), dtype="int32")
service = keras.Model(asked, model.retrieval(model.viewer(asked)))
some = users.encode([42, 43]).astype("int32")
scores, ids = service.predict(some, verbose=0)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "films.keras"
    service.save(path)
    again = keras.models.load_model(path).predict(some, verbose=0)
print(f"Saved and loaded, it answers the same: {np.array_equal(again[1], ids)}")

titles = dict(ratings.items.select("item_id", "title").iter_rows())
print("\nRecommended to viewer 42")
for score, found in zip(scores[0][:3], ids[0][:3], strict=True):
    print(f"  {score:.3f}  {titles[int(found)]}")
