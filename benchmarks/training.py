"""Interactions a second in training: two embedding towers and the in-batch softmax.

Ours beside the same model in plain Keras, and in PyTorch with sparse gradients, each in a process
of its own, in turns. The interactions are drawn: items by Zipf's law, users evenly.

    python benchmarks/training.py --users 500000 --items 200000 --batch 1024 4096
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

DIM = 32
TEMPERATURE = 0.25
ENGINES = ("shortlist-jax", "shortlist-tensorflow", "shortlist-torch", "keras-jax", "torch")


def interactions(users: int, items: int, count: int, seed: int = 0) -> np.ndarray:
    """(count, 2) users and items, from 1; the share of item i falls as 1 / i."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum(1 / np.arange(1, items + 1))
    chosen = np.searchsorted(shares, rng.random(count) * shares[-1]) + 1
    return np.stack([rng.integers(1, users + 1, count), chosen], axis=1).astype(np.int32)


def seconds_of_steps(step: Callable[[np.ndarray], None], batches: np.ndarray) -> list[float]:
    """The seconds of each step but the first three, which compile."""
    times = []
    for batch in batches:
        start = time.perf_counter()
        step(batch)
        times.append(time.perf_counter() - start)
    return times[3:]


def ours(users: int, items: int, batches: np.ndarray) -> list[float]:
    """`Towers`, as `TwoTower.fit` trains them."""
    import keras

    from shortlist.models import embedding_tower
    from shortlist.models.objectives import Retrieval
    from shortlist.models.training import Towers

    towers = Towers(
        embedding_tower(users + 1, DIM, normalize=True, seed=0),
        embedding_tower(items + 1, DIM, normalize=True, seed=1),
        Retrieval(temperature=TEMPERATURE),
    )
    size = batches.shape[1]
    same = {
        "weight": np.ones(size, np.float32),
        "probability": np.full(size, 1 / items, np.float32),
    }

    class Times(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []
            self.last = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            del batch
            float((logs or {})["loss"])  # waits for the step
            now = time.perf_counter()
            self.seconds.append(now - self.last)
            self.last = now

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, at: int) -> tuple[dict[str, np.ndarray]]:
            user, item = batches[at].T
            inputs = {"query_inputs": user, "candidate_inputs": item, "candidate": item}
            return ({**inputs, **same},)

    times = Times()
    with towers.at_work(keras.optimizers.Adagrad(0.1)):
        towers.fit(Batches(), shuffle=False, verbose=0, callbacks=[times])
    return times.seconds[3:]


def plain_keras(users: int, items: int, batches: np.ndarray) -> list[float]:
    """The same model as a Keras user writes it: `Embedding` layers and a loss of one matrix."""
    import keras
    from keras import ops

    class TwoTables(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.user = keras.layers.Embedding(users + 1, DIM)
            self.item = keras.layers.Embedding(items + 1, DIM)

        def call(self, pairs):
            return (
                ops.normalize(self.user(pairs[:, 0]), axis=-1),
                ops.normalize(self.item(pairs[:, 1]), axis=-1),
            )

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            del y, sample_weight, training
            queries, candidates = y_pred
            scores = ops.matmul(queries, ops.transpose(candidates)) / TEMPERATURE
            same = ops.equal(x[:, 1][:, None], x[:, 1])
            own = ops.eye(ops.shape(scores)[0], dtype="bool")
            scores = ops.where(ops.logical_and(same, ops.logical_not(own)), -1e30, scores)
            return ops.mean(ops.logsumexp(scores, axis=1) - ops.diagonal(scores))

    model = TwoTables()
    model.compile(keras.optimizers.Adagrad(0.1))
    return seconds_of_steps(lambda batch: model.train_on_batch(batch), batches)


def plain_torch(users: int, items: int, batches: np.ndarray) -> list[float]:
    """The same model in PyTorch, its gradients sparse."""
    import torch

    user = torch.nn.Embedding(users + 1, DIM, sparse=True)
    item = torch.nn.Embedding(items + 1, DIM, sparse=True)
    optimizer = torch.optim.Adagrad([*user.parameters(), *item.parameters()], 0.1)

    def step(batch: np.ndarray) -> None:
        pairs = torch.from_numpy(batch).long()
        optimizer.zero_grad()
        queries = torch.nn.functional.normalize(user(pairs[:, 0]))
        candidates = torch.nn.functional.normalize(item(pairs[:, 1]))
        scores = queries @ candidates.T / TEMPERATURE
        same = pairs[:, 1][:, None] == pairs[:, 1]
        same.fill_diagonal_(False)
        scores = scores.masked_fill(same, -1e30)
        torch.nn.functional.cross_entropy(scores, torch.arange(len(batch))).backward()
        optimizer.step()

    return seconds_of_steps(step, batches)


def work(engine: str, users: int, items: int, batch: int, steps: int) -> None:
    """Runs one engine and prints the seconds of its steps."""
    pairs = interactions(users, items, batch * (steps + 3)).reshape(steps + 3, batch, 2)
    run = {"keras-jax": plain_keras, "torch": plain_torch}.get(engine, ours)
    print(json.dumps(run(users, items, pairs)))


def measured(engine: str, users: int, items: int, batch: int, steps: int) -> list[float]:
    """The seconds of the steps of one engine, in a process of its own."""
    backend = engine.rpartition("-")[2]
    sizes = {"--users": users, "--items": items, "--batch": batch, "--steps": steps}
    arguments = [str(part) for pair in sizes.items() for part in pair]
    done = subprocess.run(
        [sys.executable, __file__, "--worker", engine, *arguments],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{engine}: {done.stderr[-2000:]}")
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    """Measures every engine in turns and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[512, 1024, 4096])
    parser.add_argument("--steps", type=int, default=30, help="measured steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["shortlist-jax", "torch"])
    parser.add_argument("--worker", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.users, options.items, options.batch[0], options.steps)
        return
    print(
        f"{options.users:,} users, {options.items:,} items, {DIM} dimensions, {os.cpu_count()} CPUs"
    )
    print(f"{'engine':22} {'batch':>6} {'ms a step':>10} {'interactions/s':>15}")
    for batch in options.batch:
        steps: dict[str, list[float]] = {engine: [] for engine in options.engines}
        for _ in range(options.rounds):
            for engine in options.engines:
                found = measured(engine, options.users, options.items, batch, options.steps)
                steps[engine].append(median(found))
        for engine, rounds in steps.items():
            step = median(rounds)
            print(f"{engine:22} {batch:6} {1e3 * step:10.2f} {batch / step:15,.0f}")


if __name__ == "__main__":
    main()
