"""Basic retrieval: two embedding tables, and which films a viewer will choose.

The tutorial "Recommending movies: retrieval" of TensorFlow Recommenders in Shortlist. Its published
figures on MovieLens 100k: a hit rate@10 of 0.022 and a hit rate@100 of 0.236 after three epochs,
films seen in training not left out.

    python examples/basic_retrieval.py --data-dir path/to/ml-100k
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from movies import arguments, load

from shortlist.data import split_random
from shortlist.evaluation import evaluate
from shortlist.models import TwoTower

options = arguments(__doc__)
ratings = load(options)

# Four fifths to learn from and one fifth to be judged by. At random, as the tutorial has it; in
# earnest one would split by time (`split_by_time`), since a service predicts the future.
split = split_random(ratings, test=0.2, seed=0)
print(f"{len(split.train):,} ratings to learn from, {len(split.test):,} held out")
print(split.leakage(), end="\n\n")

# A viewer and a film are each a point in 32 dimensions, their score is the dot product. Training
# moves a viewer towards the films they chose and away from those that others of the same batch
# chose; popular films come up as such negatives more often, and the loss makes up for that.
model = TwoTower.from_interactions(split.train, embedding_dim=32)
history = model.fit(
    split.train,
    epochs=2 if options.short else 7,
    optimizer=keras.optimizers.Adam(0.005),
    progress=False,
)
print(f"Loss of each epoch: {', '.join(f'{loss:.3f}' for loss in history.loss)}")
print(f"Trained in {history.seconds:.1f} s\n")

# The share of held-out films that stand among a viewer's first k of all films. The tutorial lets
# films that the viewer had in training take up places; a service would leave them out. Beside it
# Popularity, which shows everyone the same films: the floor that counts.
for exclude_seen in (False, True):
    result = evaluate(model, split.test, train=split.train, ks=(10, 100), exclude_seen=exclude_seen)
    print("Films seen in training left out" if exclude_seen else "Films seen in training kept")
    for name, metrics in {"two-tower": result.metrics, **result.baselines}.items():
        figures = (f"hit rate@{k} {metrics[f'hit_rate@{k}']:.3f}" for k in (10, 100))
        print(f"  {name:11} {'   '.join(figures)}")

# What viewer 42 has not seen, best first.
print("\nRecommended to viewer 42")
titles = dict(ratings.items.select("item_id", "title").iter_rows())
best = model.recommend([42], k=3)
for score, film in zip(best.scores[0], best.ids[0], strict=True):
    print(f"  {score:.3f}  {titles[film]}")
