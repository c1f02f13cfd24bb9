"""Your own CSV: from two files of your own to a bundle that can be served.

The files that stand for yours are written first, into a temporary folder, so that the example runs
as it is: who ordered which wine when, and what is known of the wines. Column names are the shop's,
ids are text.

    python examples/your_own_csv.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import csv
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from movies import arguments

from shortlist.bundle import Bundle
from shortlist.data import Interactions, split_by_time
from shortlist.data.features import Category, FeatureSpec, Number
from shortlist.evaluation import evaluate
from shortlist.models import TwoTower

COUNTRIES = ["Chile", "France", "Germany", "Italy", "Portugal", "Spain"]


def write_files(folder: Path, customers: int, wines: int) -> None:
    """Writes orders.csv and wines.csv of customers who each like one country and one price."""
    rng = np.random.default_rng(0)
    country, price = rng.integers(len(COUNTRIES), size=wines), rng.uniform(5, 60, size=wines)
    with (folder / "wines.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["sku", "title", "country", "price"])
        for wine in range(wines):
            name = COUNTRIES[country[wine]]
            table.writerow([f"W{wine:04}", f"{name} No. {wine}", name, f"{price[wine]:.2f}"])
    with (folder / "orders.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["customer", "sku", "ordered_at", "bottles"])
        for customer in range(customers):
            likes = 2.0 * (country == rng.integers(len(COUNTRIES)))
            likes -= np.abs(price - rng.uniform(5, 60)) / 10
            chances = np.exp(likes) / np.exp(likes).sum()
            for wine in rng.choice(wines, size=rng.integers(8, 30), replace=False, p=chances):
                day = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=int(rng.integers(365)))
                bottles = rng.integers(1, 13)
                table.writerow([f"C{customer:05}", f"W{wine:04}", day.isoformat(), bottles])


options = arguments(__doc__)
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    write_files(folder, customers=300 if options.short else 2_000, wines=400)

    # Say which of your columns are what. A weight counts an interaction that many times; here a
    # customer's bottles. Separator, encoding and the unit of times are detected or told. Anything
    # that cannot be read is an error that names the line.
    orders = Interactions.from_csv(
        folder / "orders.csv",
        items=folder / "wines.csv",
        columns={
            "user_id": "customer",
            "item_id": "sku",
            "timestamp": "ordered_at",
            "weight": "bottles",
        },
    )
    print(orders)

    # Learn from the first part of the year, be judged by the rest.
    split = split_by_time(orders, test=0.2)
    print(split.leakage(), end="\n\n")

    # The wine's tower knows its id, its country and its price, so that a wine nobody has ordered
    # yet has a place too.
    wine_features = FeatureSpec({"item_id": Category(), "country": Category(), "price": Number()})
    model = TwoTower.from_interactions(
        split.train, embedding_dim=32, item_features=wine_features, layer_sizes=(32,)
    )
    history = model.fit(
        split.train, epochs=2 if options.short else 15, optimizer="adam", progress=False
    )
    print(f"Trained {len(history.loss)} epochs in {history.seconds:.1f} s")

    result = evaluate(model, split.test, train=split.train, ks=(10, 50))
    for recommender, metrics in {"two-tower": result.metrics, **result.baselines}.items():
        figures = "   ".join(f"hit rate@{k} {metrics[f'hit_rate@{k}']:.3f}" for k in (10, 50))
        print(f"  {recommender:11} {figures}")

    # A bundle is everything a service needs, and no Keras: the customers' embeddings as an ONNX
    # graph, the index, the wines, who has had what, and how it came to be.
    wines = split.train.items
    known = model.items.ids.tolist()
    Bundle.save_model(
        folder / "wines",
        model,
        items=wines.filter(wines["item_id"].is_in(known)),
        interactions=split.train.frame,
        run={"metrics": dict(result.metrics)},
    )
    bundle = Bundle.load(folder / "wines")
    print("\nThe bundle's files:", *sorted(bundle.manifest.files), sep="\n  ")

    customer = str(model.users.ids[0])
    best = bundle.recommend([customer], k=3)
    print(f"\nRecommended to customer {customer}")
    for score, row in zip(best.scores[0], best.rows[0], strict=True):
        print(f"  {score:.3f}  {bundle.items.table['title'][int(row)]}")

    # To serve it over HTTP:  shortlist serve path/to/wines
    # And all of this in two commands, for a file with the columns user_id and item_id:
    #     shortlist train wines --dataset orders.csv --split time
    #     shortlist serve wines
