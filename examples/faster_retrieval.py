"""Faster retrieval: the best of a large catalogue from an approximate index.

The tutorial "Faster retrieval with Scalable Nearest Neighbours" of Keras Recommenders in Shortlist.
There, 100 noisy copies of every film stand for a large catalogue, four viewers ask, the brute-force
layer takes 0.642 s (eagerly, its first call included) and ScaNN, which is no layer and cannot be
compiled into a model, 0.00324 s. Here the approximate search *is* a layer: it is compiled with the
model, saved with it, and the same engine also answers in ScaNN's own words.

    python examples/faster_retrieval.py --data-dir path/to/ml-100k
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import tempfile
from pathlib import Path
from time import perf_counter

import keras
import numpy as np
from movies import arguments, load

from shortlist import scann
from shortlist.data import split_random
from shortlist.evaluation import recall_at_k
from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval
from shortlist.models import TwoTower


def seconds(call, times=50):
    """Returns the median time of a call, after one that compiles."""
    call()
    taken = []
    for _ in range(times):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return float(np.median(taken))


options = arguments(__doc__)
split = split_random(load(options), seed=0)
model = TwoTower.from_interactions(split.train, embedding_dim=32, normalize=False)
model.fit(split.train, epochs=1 if options.short else 7, progress=False)

# A large catalogue: every film, and noisy copies of it.
films = model.embed_candidates()
rng = np.random.default_rng(0)
noisy = [
    films * rng.random(films.shape, dtype="float32") for _ in range(5 if options.short else 100)
]
candidates = np.concatenate([films, *noisy])
viewers = model.embed_queries(model.users.ids)
four = viewers[[10, 5, 42, 345]]
print(f"{len(candidates):,} candidates of {candidates.shape[1]} dimensions\n")

# Exactly: every candidate is scored.
brute_force = BruteForceRetrieval(candidates, k=10)
exact = keras.ops.convert_to_numpy(brute_force(viewers)[1])

# Approximately: the index visits the most promising leaves. `target_recall` has the settings chosen
# by measurement; the queries it measures on should be real ones, so they are given.
approximate = ApproximateRetrieval(k=10, target_recall=0.97)
approximate.update_candidates(candidates, queries=viewers)
found = keras.ops.convert_to_numpy(approximate(viewers)[1])
print(f"Recall@10 of the approximate layer: {recall_at_k(exact, found):.3f}")

# As the tutorial asks: four viewers, the layer called as it is.
print("\nFour viewers, milliseconds")
for name, layer in (("brute force", brute_force), ("approximate", approximate)):
    print(f"  {name}, eager      {1e3 * seconds(lambda layer=layer: layer(four)):8.3f}")

# What the tutorial could not do: a model that ends in the layer, compiled as a whole.
models = {}
for name, layer in (("brute force", brute_force), ("approximate", approximate)):
    query = keras.Input((candidates.shape[1],))
    models[name] = keras.Model(query, layer(query))
    taken = seconds(lambda name=name: models[name].predict_on_batch(four))
    print(f"  {name}, compiled   {1e3 * taken:8.3f}")

# Saved and loaded, the model still knows its candidates, ids and index.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "films.keras"
    models["approximate"].save(path)
    again = keras.models.load_model(path)
    same = np.array_equal(again.predict(viewers, verbose=0)[1], found)
    print(f"\nThe saved model is loaded and answers the same: {same}")

# Code written for ScaNN runs on the same engine: only its import is another. These are the
# tutorial's own settings.
searcher = (
    scann.builder(candidates, num_neighbors=10, distance_measure="dot_product")
    .tree(num_leaves=100, num_leaves_to_search=30, training_iterations=12)
    .score_ah(dimensions_per_block=2)
    .reorder(500)
    .build()
)
neighbours, _ = searcher.search_batched_parallel(viewers, final_num_neighbors=10)
taken = seconds(lambda: searcher.search_batched_parallel(four, final_num_neighbors=10))
print("\nshortlist.scann with the tutorial's settings")
print(f"  recall@10 {recall_at_k(exact, neighbours.astype(np.int64)):.3f}")
print(f"  four viewers {1e3 * taken:.3f} ms")

# The engine itself, without Keras around it: one viewer at a time, as a service would ask.
engine = seconds(lambda: approximate.index.search(four[0], 10), times=1_000)
print(f"\nOne viewer, the index alone: {1e6 * engine:.1f} µs")
