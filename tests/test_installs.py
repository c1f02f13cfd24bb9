"""The wheel in environments of its own, as users have them: one extra, no compiler, no checkout.

`make bare` builds the wheel and runs these; they take minutes and need the network or pip's cache.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from shortlist import _native
from shortlist.cli.app import run

pytestmark = pytest.mark.bare

ROOT = Path(__file__).parents[1]
MB = 1_000_000
# Sizes of what pip installed, itself left out: all files, and the bytecode that it compiles.
SIZES = """
import json
from importlib.metadata import distributions
sizes = {}
for package in distributions():
    files = [(path, path.locate()) for path in package.files or ()]
    sizes[package.name] = [
        sum(file.stat().st_size for path, file in files if file.exists() and path.suffix == suffix)
        if suffix else sum(file.stat().st_size for path, file in files if file.exists())
        for suffix in ("", ".pyc")
    ]
print(json.dumps({name: size for name, size in sizes.items() if name not in ("pip", "setuptools")}))
"""


def wheel() -> Path:
    tag = "cp311-cp311" if sys.version_info < (3, 12) else "cp312-abi3"
    found = sorted((ROOT / "dist").glob(f"shortlist-*-{tag}-*.whl"))
    assert found, f"no wheel for {tag} in dist/; run `make wheel`"
    return found[-1]


class Environment:
    """A virtual environment; what runs in it finds no compiler and nothing of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.bin = folder / "venv" / "bin"
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("KERAS", "PYTHON", "VIRTUAL_ENV"))
        } | {"PATH": str(self.bin), "HOME": str(folder), "KERAS_HOME": str(folder)}
        # Where pip keeps what it fetched before.
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pip"
        self.variables.setdefault("PIP_CACHE_DIR", str(cache))

    def install(self, *what: str) -> None:
        pip = [str(self.bin / "python"), "-m", "pip", "-q", "install", "--only-binary=:all:"]
        subprocess.run([*pip, *what], env=self.variables, cwd=self.folder, check=True)

    def add(self, extra: str) -> None:
        self.install(f"shortlist[{extra}] @ {wheel().as_uri()}")

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        return self._run("python", "-c", code)

    def shortlist(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run("shortlist", *words)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.bin / "shortlist"), *words],
            env=self.variables,
            cwd=self.folder,
            text=True,
            stderr=subprocess.PIPE,
        )

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / program), *words],
            env=self.variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def packages(self) -> dict[str, tuple[int, int]]:
        """Bytes of each package, and how much of them is bytecode."""
        printed = self.python(SIZES)
        return {name.lower(): tuple(size) for name, size in json.loads(printed.stdout).items()}

    def size(self, what: str) -> int:
        """Bytes without bytecode, which pip makes and need not; told on the terminal."""
        packages = self.packages()
        everything = sum(size for size, _ in packages.values())
        compiled = sum(bytecode for _, bytecode in packages.values())
        sys.stdout.write(
            f"\n{what}: {(everything - compiled) / MB:.0f} MB, {everything / MB:.0f} MB with "
            f"bytecode; {len(packages)} packages, "
            f"Shortlist {packages['shortlist'][0] / MB:.1f} MB\n"
        )
        return everything - compiled


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Grows from test to test: the wheel alone, then `data`, `bundle`, `serve`."""
    folder = tmp_path_factory.mktemp("service")
    yield Environment(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    folder = tmp_path_factory.mktemp("training")
    yield Environment(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "views.csv"
    rows = [f"{user},{item}" for user in range(40) for item in range(user % 7, 60, 7)]
    path.write_text("\n".join(["user_id,item_id", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bundle(table: Path) -> Path:
    path = table.with_name("films")
    small = ["--epochs", "1", "--batch-size", "64", "--embedding-dim", "8"]
    assert run(["train", str(path), "--dataset", str(table), *small, "--json"]) == 0
    return path


SEARCH = """
import numpy as np, shortlist
rng = np.random.default_rng(0)
candidates = rng.standard_normal((20_000, 32), dtype=np.float32)
queries = rng.standard_normal((200, 32), dtype=np.float32)
index = shortlist.Index.build(candidates)
index.settings = shortlist.tune(index, queries, k=10, recall=0.9).settings
index.save("vectors.slx")
found = shortlist.Index.load("vectors.slx").search(queries, k=10)
best = np.argsort(-(queries @ candidates.T), axis=1)[:, :10]
print(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.ids, best)]) > 0.85)
"""


def test_the_wheel_alone_is_numpy_and_the_engine(service: Environment) -> None:
    service.install(str(wheel()))
    assert set(service.packages()) == {"numpy", "shortlist"}
    assert service.size("shortlist") <= 60 * MB
    assert service.python(SEARCH).stdout == "True\n"


def test_the_wheel_alone_says_what_else_there_is(service: Environment) -> None:
    said = service.shortlist("train", "out")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.endswith("pip install 'shortlist[train]'\n")
    for room, extra in {
        "data": "data",
        "evaluation": "data",
        "layers": "train",
        "losses": "train",
        "metrics": "train",
        "models": "train",
        "bundle": "bundle",
        "serving": "serve",
    }.items():
        said = service.python(f"import shortlist; shortlist.{room}")
        assert said.stderr.endswith(f"pip install 'shortlist[{extra}]'\n")
    assert service.python("import shortlist.scann").returncode == 0


def test_data_are_read_without_a_framework(service: Environment, table: Path) -> None:
    service.add("data")
    service.size("shortlist[data]")
    assert service.packages().keys().isdisjoint({"keras", "jax", "onnx", "onnxruntime", "pyarrow"})
    code = (
        "from shortlist.data import Interactions, sample, split_random\n"
        "from shortlist.evaluation import evaluate\n"
        "from shortlist.evaluation.baselines import Popularity\n"
        f"split = split_random(Interactions.from_csv({str(table)!r}), test=0.2)\n"
        "print(evaluate(Popularity(split.train), split.test, train=split.train).num_users > 0)\n"
        "print(len(sample().interactions) > 0)"
    )
    assert service.python(code).stdout == "True\nTrue\n"


def test_a_bundle_is_read_and_asked(service: Environment, bundle: Path) -> None:
    service.add("bundle")
    service.size("shortlist[bundle]")
    asked = service.shortlist("recommend", str(bundle), "--user", "1", "-k", "3", "--json")
    assert len(json.loads(asked.stdout)["users"][0]["recommendations"]) == 3
    for command in (["inspect"], ["verify"], ["similar", "--item", "1"], ["tune", "--dry-run"]):
        done = service.shortlist(command[0], str(bundle), *command[1:])
        assert (done.returncode, done.stderr) == (0, "")
    doctor = json.loads(service.shortlist("doctor", "--json").stdout)
    assert [name for name, there in doctor["extras"].items() if there] == ["data", "bundle"]
    assert doctor["keras_backend"] is None
    assert doctor["simd"]["available"] == list(_native.simd_levels())  # as built by GCC
    said = service.shortlist("serve", str(bundle))
    assert (said.returncode, "pip install 'shortlist[serve]'" in said.stderr) == (2, True)


def test_a_server_needs_no_framework_and_at_most_400_mb(service: Environment, bundle: Path) -> None:
    service.add("serve")
    assert service.size("shortlist[serve]") <= 400 * MB
    heavy = {"keras", "jax", "jaxlib", "tensorflow", "torch", "onnx", "pyarrow", "pandas", "scipy"}
    assert service.packages().keys().isdisjoint(heavy)
    server = service.start("serve", str(bundle), "--port", "0")
    try:
        assert server.stderr is not None
        address = ""
        while "http://" not in address:
            address = server.stderr.readline()
            assert address, "the server ended before it said where it listens"
        address = "http://" + address.partition("http://")[2].split()[0].rstrip("/.")
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"{address}/livez", timeout=10) as answer:
                    assert answer.status == 200
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("the server does not answer")
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_a_report_is_written(service: Environment, bundle: Path) -> None:
    said = service.shortlist("report", str(bundle))
    assert (said.returncode, "pip install 'shortlist[report]'" in said.stderr) == (2, True)
    service.add("report")
    service.size("shortlist[serve,report]")
    assert service.shortlist("report", str(bundle)).returncode == 0
    assert bundle.with_name("films-report.html").is_file()


def test_the_engine_passes_its_tests_without_a_compiler(service: Environment) -> None:
    assert shutil.which("c++", path=service.variables["PATH"]) is None
    service.install("pytest", "hypothesis", "xxhash", "ml_dtypes")
    shutil.copytree(ROOT / "tests" / "index", service.folder / "index")
    shutil.copy(ROOT / "pyproject.toml", service.folder)
    done = service.python("import pytest, sys; sys.exit(pytest.main(['index', '-x']))")
    assert done.returncode == 0, done.stdout


def test_training_runs_on_jax_where_nothing_is_set(training: Environment, table: Path) -> None:
    training.add("train")
    training.size("shortlist[train]")
    assert training.packages().keys().isdisjoint({"tensorflow", "torch", "litestar", "pyarrow"})
    small = ["--epochs", "1", "--batch-size", "64", "--embedding-dim", "8"]
    done = training.shortlist("train", "films", "--dataset", str(table), *small, "--json")
    assert done.returncode == 0, done.stderr
    assert "starting Keras on jax" in done.stderr
    assert training.shortlist("recommend", "films", "--user", "1").returncode == 0
    assert json.loads(training.shortlist("doctor", "--json").stdout)["keras_backend"] == "jax"


def test_python_is_told_to_choose_the_backend_that_is_there(training: Environment) -> None:
    said = training.python("import shortlist.layers").stderr.splitlines()[-1]
    assert "Set KERAS_BACKEND=jax in the environment before Keras is imported" in said
    training.variables["KERAS_BACKEND"] = "jax"
    code = "import shortlist.layers, shortlist.models, shortlist.losses, shortlist.metrics"
    assert training.python(code).returncode == 0
