"""Item to item: films like a film, and "people who chose this then chose that".

What the tutorial "Basic retrieval" of Keras Recommenders describes in its section "Item-to-item
recommendation", without code. Two kinds of likeness are shown. The first comes free with any
two-tower model: films whose embeddings point the same way. The second is trained for the purpose:
the query is a film, the candidate is the film the same viewer chose next.

    python examples/item_to_item.py --data-dir path/to/ml-100k
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import polars as pl
from movies import arguments, load

from shortlist.data import Interactions, split_random
from shortlist.evaluation import evaluate
from shortlist.models import TwoTower


def show(titles, film, result):
    """Prints a film and the three most like it."""
    print(f"  like {titles[film]}")
    for score, other in zip(result.scores[0][:3], result.ids[0][:3], strict=True):
        print(f"    {score:.3f}  {titles[other]}")


options = arguments(__doc__)
ratings = load(options)
titles = dict(ratings.items.select("item_id", "title").iter_rows())
counts = ratings.frame["item_id"].value_counts(sort=True)
popular = counts["item_id"][:2].to_list()
epochs = 2 if options.short else 10

# First: films that the same viewers choose come to lie in the same direction.
split = split_random(ratings, seed=0)
model = TwoTower.from_interactions(split.train, embedding_dim=32)
model.fit(split.train, epochs=epochs, optimizer=keras.optimizers.Adam(0.005), progress=False)
print("By the direction of their embeddings")
for film in popular:
    show(titles, film, model.similar([film], k=3))

# Second: each viewer's film and the one they chose after it, at most a day later, become a pair.
# The "user" of these interactions is a film.
pairs = (
    ratings.frame.sort("user_id", "timestamp", maintain_order=True)
    .with_columns(
        next=pl.col("item_id").shift(-1).over("user_id"),
        wait=pl.col("timestamp").shift(-1).over("user_id") - pl.col("timestamp"),
    )
    .filter(pl.col("wait") <= 86_400)
    .select(user_id="item_id", item_id="next")
)
steps = Interactions.from_polars(pairs, duplicates="keep")
split = split_random(steps, seed=0)
print(f"\n{len(steps):,} pairs of a film and the next; {len(split.test):,} held out")

following = TwoTower.from_interactions(split.train, embedding_dim=32)
following.fit(split.train, epochs=epochs, optimizer=keras.optimizers.Adam(0.005), progress=False)

# A pair may occur many times, so what was seen in training is no reason to leave a film out.
result = evaluate(following, split.test, train=split.train, ks=(10, 100), exclude_seen=False)
for name, metrics in {"two-tower": result.metrics, **result.baselines}.items():
    figures = (f"hit rate@{k} {metrics[f'hit_rate@{k}']:.3f}" for k in (10, 100))
    print(f"  {name:11} {'   '.join(figures)}")

print("\nBy what is chosen next")
for film in popular:
    show(titles, film, following.recommend([film], k=3, exclude_seen=False, exclude=[[film]]))
