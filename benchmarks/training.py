"""Interactions a second in training: two embedding towers and the in-batch softmax.

Ours beside the same model in plain Keras 3, in TensorFlow Recommenders (on Keras 2) and in PyTorch
with sparse gradients, each in a process of its own, in turns. TensorFlow Recommenders gets an
environment of its own under .cache/, on first use. The interactions are drawn: items by Zipf's law,
users evenly. Beside the time of a step stands the processor's time, which other work on the
machine changes less.

    python benchmarks/training.py --users 500000 --items 200000 --batch 1024 4096 --out FILE.md
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from ann.environments import python_with

DIM = 32
TEMPERATURE = 0.25
ENGINES = (
    "shortlist-jax",
    "shortlist-tensorflow",
    "shortlist-torch",
    "keras-jax",
    "keras-tensorflow",
    "tensorflow-recommenders",
    "torch",
)
RECOMMENDERS = "tensorflow-recommenders==0.7.7 tensorflow==2.19.1 tf-keras==2.19.0"
CACHE = Path(__file__).parents[1] / ".cache"

Times = list[tuple[float, float]]  # of each step: seconds, and seconds of the processor


def interactions(users: int, items: int, count: int, seed: int = 0) -> np.ndarray:
    """(count, 2) users and items, from 1; the share of item i falls as 1 / i."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum(1 / np.arange(1, items + 1))
    chosen = np.searchsorted(shares, rng.random(count) * shares[-1]) + 1
    return np.stack([rng.integers(1, users + 1, count), chosen], axis=1).astype(np.int32)


class Clock:
    """The times of steps, without the first ones, which compile."""

    def __init__(self) -> None:
        self.at = [self._now()]

    def tick(self) -> None:
        """Ends a step."""
        self.at.append(self._now())

    def times(self) -> Times:
        """Of the steps from the fourth on."""
        return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(self.at[3:], self.at[4:], strict=False)]

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def times_of_steps(step: Callable[[np.ndarray], None], batches: np.ndarray) -> Times:
    """The times of each step but the first three."""
    clock = Clock()
    for batch in batches:
        step(batch)
        clock.tick()
    return clock.times()


def ours(users: int, items: int, batches: np.ndarray) -> Times:
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

    clock = Clock()

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            del batch
            float((logs or {})["loss"])  # waits for the step
            clock.tick()

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, at: int) -> tuple[dict[str, np.ndarray]]:
            user, item = batches[at].T
            inputs = {"query_inputs": user, "candidate_inputs": item, "candidate": item}
            return ({**inputs, **same},)

    with towers.at_work(keras.optimizers.Adagrad(0.1)):
        towers.fit(Batches(), shuffle=False, verbose=0, callbacks=[Watch()])
    return clock.times()


def plain_keras(users: int, items: int, batches: np.ndarray) -> Times:
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
    return times_of_steps(lambda batch: model.train_on_batch(batch), batches)


def recommenders(users: int, items: int, batches: np.ndarray) -> Times:
    """The same model as the tutorials of TensorFlow Recommenders write it."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    class TwoTables(tfrs.Model):
        def __init__(self) -> None:
            super().__init__()
            self.user = tf.keras.layers.Embedding(users + 1, DIM)
            self.item = tf.keras.layers.Embedding(items + 1, DIM)
            self.task = tfrs.tasks.Retrieval(temperature=TEMPERATURE, remove_accidental_hits=True)

        def compute_loss(self, inputs, training=False):
            del training
            (pairs,) = inputs
            queries = tf.math.l2_normalize(self.user(pairs[:, 0]), axis=-1)
            candidates = tf.math.l2_normalize(self.item(pairs[:, 1]), axis=-1)
            return self.task(queries, candidates, candidate_ids=pairs[:, 1], compute_metrics=False)

    model = TwoTables()
    model.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))
    return times_of_steps(lambda batch: model.train_on_batch(batch), batches)


def plain_torch(users: int, items: int, batches: np.ndarray) -> Times:
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

    return times_of_steps(step, batches)


def work(engine: str, users: int, items: int, batch: int, steps: int) -> None:
    """Runs one engine and prints the seconds of its steps."""
    pairs = interactions(users, items, batch * (steps + 3)).reshape(steps + 3, batch, 2)
    run = {
        "keras-jax": plain_keras,
        "keras-tensorflow": plain_keras,
        "tensorflow-recommenders": recommenders,
        "torch": plain_torch,
    }.get(engine, ours)
    print(json.dumps(run(users, items, pairs)))


def measured(engine: str, users: int, items: int, batch: int, steps: int) -> Times:
    """The times of the steps of one engine, in a process of its own."""
    backend = engine.rpartition("-")[2]
    sizes = {"--users": users, "--items": items, "--batch": batch, "--steps": steps}
    arguments = [str(part) for pair in sizes.items() for part in pair]
    python, settings = sys.executable, {"KERAS_BACKEND": backend}
    if engine == "tensorflow-recommenders":
        python, settings = str(python_with(RECOMMENDERS, CACHE)), {"TF_USE_LEGACY_KERAS": "1"}
    done = subprocess.run(
        [python, __file__, "--worker", engine, *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{engine}: {done.stderr[-2000:]}")
    times: Times = json.loads(done.stdout.splitlines()[-1])
    return times


def machine() -> str:
    """The processor, its number of cores, and how busy they were with other work."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    name = names[0] if names else platform.processor()
    return f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before"


def main() -> None:
    """Measures every engine in turns and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[512, 1024, 4096])
    parser.add_argument("--steps", type=int, default=30, help="measured steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["shortlist-jax", "torch"])
    parser.add_argument("--out", type=Path, help="a file to add the table to, in Markdown")
    parser.add_argument("--worker", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.users, options.items, options.batch[0], options.steps)
        return
    lines = [
        f"{options.users:,} users, {options.items:,} items, {DIM} dimensions; {machine()}; medians "
        f"of {options.rounds} rounds of {options.steps} steps, in turns.",
        "",
        "| engine | batch | ms a step | interactions/s | ms of the processor a step |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for batch in options.batch:
        steps: dict[str, Times] = {engine: [] for engine in options.engines}
        for _ in range(options.rounds):
            for engine in options.engines:
                found = measured(engine, options.users, options.items, batch, options.steps)
                wall, processor = (median(each) for each in zip(*found, strict=True))
                steps[engine].append((wall, processor))
        for engine, rounds in steps.items():
            wall, processor = (median(each) for each in zip(*rounds, strict=True))
            lines.append(
                f"| {engine} | {batch:,} | {1e3 * wall:.1f} | {batch / wall:,.0f} "
                f"| {1e3 * processor:.1f} |"
            )
            print(lines[-1], flush=True)
    if options.out:
        command = f"\nCommand: `python benchmarks/training.py {' '.join(sys.argv[1:])}`\n\n"
        with options.out.open("a") as out:
            out.write("\n".join(lines) + "\n" + command)


if __name__ == "__main__":
    main()
