"""Where an extra is missing, its name is said."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from shortlist import _extras
from shortlist._extras import BACKENDS, EXTRAS, MissingBackendError, MissingExtraError

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))[
    "project"
]
OPTIONAL: dict[str, list[str]] = PROJECT["optional-dependencies"]

# Runs the code of its second argument as if the modules of its first were not installed.
WITHOUT = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
import importlib.util
found = importlib.util.find_spec
def find_spec(name, package=None):
    return None if name in sys.argv[1].split(",") else found(name, package)
importlib.util.find_spec = find_spec
sys.meta_path.insert(0, Hidden())
try:
    exec(sys.argv[2])
except ImportError as error:
    print(f"{type(error).__name__}: {error}")
"""


def without(hidden: str, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, hidden, code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def modules_of(extra: str) -> set[str]:
    """The modules that the packages of an extra are imported as."""
    modules = set()
    for requirement in OPTIONAL[extra]:
        name, _, of = re.match(r"([\w-]+)(\[([\w,]+)\])?", requirement).groups()
        if name == "shortlist":
            modules |= set().union(*map(modules_of, of.split(",")))
        else:
            modules.add(name.replace("-", "_"))
    return modules


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_looked_for_is_what_the_package_declares(extra: str) -> None:
    assert set(EXTRAS[extra]) == modules_of(extra)


def test_every_extra_but_the_sum_of_them_can_be_named() -> None:
    assert set(OPTIONAL) == {*EXTRAS, "all"}


def test_the_package_itself_needs_numpy_alone() -> None:
    assert [re.match(r"[\w-]+", name).group() for name in PROJECT["dependencies"]] == ["numpy"]


@pytest.mark.parametrize(
    ("room", "hidden", "extra"),
    [
        ("data", "polars", "data"),
        ("evaluation", "polars", "data"),
        ("layers", "keras_rs", "keras"),
        ("losses", "keras", "keras"),
        ("metrics", "keras", "keras"),
        ("models", "keras", "train"),
        ("models", "polars", "train"),
        ("bundle", "onnxruntime", "bundle"),
        ("bundle", "polars", "bundle"),
        ("live", "msgspec", "bundle"),
        ("serving", "litestar", "serve"),
        ("serving", "polars", "serve"),
    ],
)
def test_a_room_without_its_packages_names_its_extra(room: str, hidden: str, extra: str) -> None:
    said = without(hidden, f"import shortlist.{room}", KERAS_BACKEND="jax").stdout
    assert said.startswith(f"MissingExtraError: `shortlist.{room}` needs {hidden}, which is not")
    assert said.endswith(f"pip install 'shortlist[{extra}]'\n")


@pytest.mark.parametrize(
    ("arguments", "hidden", "extra"),
    [
        (["--help"], "typer", "train"),
        (["doctor"], "typer", "train"),
        (["demo"], "onnx", "train"),
        (["train", "out", "--dataset", "no-such.csv"], "keras", "train"),
        (["train", "out"], "jax", "train"),
        (["recommend", "out", "--user", "1"], "onnxruntime", "bundle"),
        (["similar", "out", "--item", "1"], "msgspec", "bundle"),
        (["evaluate", "out"], "polars", "bundle"),
        (["tune", "out"], "polars", "bundle"),
        (["inspect", "out"], "msgspec", "bundle"),
        (["verify", "out"], "msgspec", "bundle"),
        (["serve", "out"], "uvicorn", "serve"),
        (["items", "list", "out"], "onnxruntime", "bundle"),
        (["events", "add", "out", "{}"], "msgspec", "bundle"),
        (["report", "out"], "jinja2", "report"),
    ],
)
def test_a_command_without_its_packages_names_the_extra_and_exits_with_2(
    arguments: list[str], hidden: str, extra: str
) -> None:
    code = f"from shortlist.cli import main; main({arguments!r})"
    result = without(hidden, code, KERAS_BACKEND="jax")
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(
        rf"error: .* needs {hidden}, which is not installed. "
        rf"Install what is missing with: pip install 'shortlist\[{extra}\]'\n",
        result.stderr,
    )


def test_all_that_is_missing_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_extras, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="A chart needs polars, pooch, rich, which are not"):
        _extras.require("A chart", "data")


@pytest.mark.parametrize(
    ("attribute", "hidden"),
    [
        ("index.tuning import Tuning; Tuning.plot(None)", "matplotlib"),
        (
            "models.training_log import TrainingLog; TrainingLog((), (), '', 1, 0.0).plot()",
            "matplotlib",
        ),
        ("evaluation.report import render; render('', {}, {}, {}, [])", "jinja2"),
    ],
)
def test_a_plot_without_matplotlib_names_the_extra(attribute: str, hidden: str) -> None:
    said = without(hidden, f"from shortlist.{attribute}", KERAS_BACKEND="jax").stdout
    assert f"needs {hidden}" in said
    assert said.endswith("pip install 'shortlist[report]'\n")


def test_a_live_state_in_postgresql_names_the_extra() -> None:
    code = "from shortlist.live import LiveState; LiveState.open('postgresql://host/db')"
    said = without("psycopg", code).stdout
    assert said.startswith("MissingExtraError: A live state in PostgreSQL needs psycopg, which is")
    assert said.endswith("pip install 'shortlist[postgres]'\n")


def test_a_pandas_frame_that_needs_pyarrow_names_the_extra() -> None:
    code = (
        "import pandas, shortlist.data as data\n"
        "frame = pandas.DataFrame({'user_id': pandas.Categorical(['a', 'b']), 'item_id': [1, 2]})\n"
        "data.Interactions.from_pandas(frame)"
    )
    assert without("pyarrow", code).stdout.endswith("pip install 'shortlist[pandas]'\n")


def test_a_room_with_another_backend_than_is_installed_says_how_to_choose(tmp_path: Path) -> None:
    # A KERAS_HOME without keras.json: Keras takes its own default, TensorFlow.
    said = without("tensorflow", "import shortlist.layers", KERAS_HOME=str(tmp_path)).stdout
    assert said == (
        "MissingBackendError: `shortlist.layers` needs Keras, which is set to use tensorflow, and "
        "that is not installed. Set KERAS_BACKEND=jax in the environment before Keras is imported, "
        "or: pip install 'shortlist[tensorflow]'\n"
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_asks_for_the_backend_that_is_set(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(_extras, "find_spec", lambda name: None if name == backend else name)
    with pytest.raises(MissingExtraError, match=rf"needs {backend}.*\[{BACKENDS[backend]}\]"):
        _extras.require("Training", "train")


def test_the_first_backend_that_is_installed_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(_extras, "find_spec", lambda name: None if name == "jax" else name)
    assert _extras.choose_backend() == "tensorflow"
    monkeypatch.setattr(_extras, "find_spec", lambda name: name if name == "torch" else None)
    assert _extras.choose_backend() == "torch"
    monkeypatch.setattr(_extras, "find_spec", lambda name: None)
    assert _extras.choose_backend() is None


def test_the_outermost_names_the_extra() -> None:
    with pytest.raises(MissingBackendError), _extras.needs("outer", "data"):
        raise MissingBackendError("Keras is set to another")
    with pytest.raises(ModuleNotFoundError, match="no such"), _extras.needs("outer", "data"):
        raise ModuleNotFoundError("no such", name="elsewhere")


def test_importing_sets_no_backend(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    code = "import os, shortlist.models; print('KERAS_BACKEND' in os.environ)"
    assert without("none", code, KERAS_HOME=str(tmp_path)).stdout == "False\n"


# The extra that each part of the source needs to be imported; the longest beginning counts.
EXTRA_OF = {
    "": None,
    "data/": "data",
    "evaluation/": "data",
    "evaluation/report/plots.py": "report",
    "layers/": "keras",
    "losses/": "keras",
    "metrics/": "keras",
    "models/": "train",
    "bundle/": "bundle",
    "bundle/export.py": "train",
    "bundle/layers.py": "train",
    "live/": "bundle",
    "live/postgres.py": "postgres",
    "serving/": "serve",
    "cli/": "bundle",
}
SOURCE = Path(_extras.__file__).parent


def packages_imported_by(path: Path) -> set[str]:
    """The packages of others that a source file imports at its top."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"shortlist"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.stem)
def test_a_file_imports_only_what_its_extra_brings(path: Path) -> None:
    name = str(path.relative_to(SOURCE))
    extra = EXTRA_OF[max((part for part in EXTRA_OF if name.startswith(part)), key=len)]
    brought = {"numpy", *(EXTRAS[extra] if extra else ())}
    assert packages_imported_by(path) <= brought
