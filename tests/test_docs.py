"""The documentation is true: its Python and its commands run."""

import contextlib
import importlib
import inspect
import json
import pkgutil
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer

from shortlist.cli.app import app, run
from shortlist.data import DataError, Interactions
from shortlist.data.features import FeatureSpec

COMMANDS = typer.main.get_command(app).commands
ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The blocks of a page, each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in BLOCK.finditer(text):
        if block[2] == language:
            indent = len(block[1])
            code = "".join(line[indent:] for line in block[3].splitlines(keepends=True))
            found.append((text.count("\n", 0, block.start()) + 2, code))
    return found


def commands(page: Path) -> list[tuple[int, list[str]]]:
    """The commands of a page, each with the number of the first line of its block."""
    found = []
    for line, code in blocks(page, "console"):
        for command in code.replace("\\\n", " ").splitlines():
            words = shlex.split(command, comments=True)
            if words:
                found.append((line, words))
    return found


def ours(words: list[str]) -> bool:
    """Whether a command ends by itself; `make demo` and tests/cli/test_demo.py run `demo`."""
    return Path(words[0]).name == "shortlist" and words[1] not in ("serve", "demo")


def test_every_block_is_of_a_kind_that_is_run_or_checked() -> None:
    for page in PAGES:
        kinds = {block[2] for block in BLOCK.finditer(page.read_text(encoding="utf-8"))}
        assert kinds <= {"python", "console", "toml", "text"}, page.name
        for line, code in blocks(page, "text"):
            kept = re.fullmatch(r'--8<-- "(\w+)\.txt"\n', code)  # what an example printed
            known = page.name == "data.md" and code == ERRORS
            assert known or (kept and (ROOT / "examples" / f"{kept[1]}.py").is_file()), (
                f"{page.name}, near line {line}"
            )


ERRORS = """\
ratings.csv, column 'rating', line 4: expected a number, got 'x'.
ratings.csv has no column 'user_id'; did you mean 'userId'? Pass columns={'user_id': 'NAME'}.
"""


def test_the_errors_of_the_data_page_are_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n1,2,3\n1,3,4\n2,3,x\n")
    said = []
    for columns in ({"user_id": "userId", "item_id": "movieId"}, None):
        with pytest.raises(DataError) as caught:
            Interactions.from_csv("ratings.csv", columns=columns)
        said.append(f"{caught.value}\n")
    assert "".join(said) == ERRORS


def test_the_feature_spec_of_the_data_page_can_be_read() -> None:
    ((_, code),) = blocks(ROOT / "docs" / "data.md", "toml")
    spec = tomllib.loads(code)
    assert FeatureSpec.from_dict(spec).to_dict()["age"].items() >= spec["age"].items()


ROOMS = ["index", "data", "data.features", "layers", "losses", "metrics", "models", "evaluation"]
ROOMS += ["evaluation.baselines", "bundle", "serving", "scann", "live"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_class_and_function_is_on_a_page_of_the_api(room: str) -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    shown = [pkgutil.resolve_name(path) for path in re.findall(r"^::: (\S+)", pages, re.MULTILINE)]
    module = importlib.import_module(f"shortlist.{room}")
    for name in module.__all__:
        public = getattr(module, name)
        if inspect.isclass(public) or inspect.isfunction(public):
            assert any(public is one for one in shown), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_python_of_a_page_runs_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = blocks(page, "python")
    if not found:
        return
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n1,2,3\n1,3,4\n2,3,5\n")
    (tmp_path / "movies.csv").write_text("movieId,title\n2,Alien\n3,Brazil\n")
    namespace: dict[str, object] = {"__name__": page.stem}
    for line, code in found:
        # The empty lines in front make a traceback name the line of the page.
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line, words in commands(page):
        where = f"{page.name}, near line {line}: {shlex.join(words)}"
        program = Path(words[0]).name
        if program == "shortlist":
            known = COMMANDS.get(words[1])
            assert known is not None, f"{where}: no such command"
            if hasattr(known, "commands"):  # of a group
                known = known.commands[words[2]]
            options = {name for option in known.params for name in option.opts}
            for word in words[2:]:
                assert not word.startswith("-") or word in options, f"{where}: no option {word}"
        elif program == "make":
            assert re.search(rf"^[\w ./-]*\b{words[1]}\b.*:", makefile, re.MULTILINE), where
        elif program == "python":
            known_to_script(words, where)
        elif program == "pip":
            project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
            extras = re.fullmatch(r"(?:shortlist|\.)(?:\[([\w,]+)\])?", words[-1])
            assert extras is not None, where
            named = set((extras[1] or "").split(",")) - {""}
            assert named <= set(project["optional-dependencies"]), where
        else:
            assert program == "curl", where


def known_to_script(words: list[str], where: str) -> None:
    """Checks that a script and its options exist; tests/test_examples.py runs the examples."""
    script = ROOT / words[1]
    assert script.is_file(), f"{where}: no such file"
    beside = [script, *script.parent.glob("movies.py"), *script.with_suffix("").glob("*.py")]
    source = "".join(file.read_text(encoding="utf-8") for file in beside)
    for word in words[2:]:
        known = word in ("--help", "-h") or f'"{word}"' in source
        assert not word.startswith("-") or known, f"{where}: no option {word}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_scripts_named_in_the_text_of_a_page_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for command in re.findall(r"`(python \w+/[^`]+)`", text):
        known_to_script(shlex.split(command), f"{page.name}: {command}")


WITH_COMMANDS = [page for page in PAGES if any(ours(words) for _, words in commands(page))]


@pytest.mark.parametrize(
    "page", WITH_COMMANDS, ids=[str(page.relative_to(ROOT)) for page in WITH_COMMANDS]
)
def test_the_commands_of_a_page_run(
    page: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundle.parent, tmp_path, dirs_exist_ok=True)
    for _, code in blocks(page, "toml"):
        (tmp_path / "train.toml").write_text(code)
    monkeypatch.chdir(tmp_path)
    for line, words in commands(page):
        if ours(words):
            quick = ["--epochs", "1"] if words[1] == "train" else []
            assert run([*words[1:], *quick]) == 0, f"{page.name}, near line {line}"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files by the names that the pages use, and a bundle of one of them."""
    folder = tmp_path_factory.mktemp("commands")
    rng = np.random.default_rng(0)
    views = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(1, 61), 12),
            "item_id": np.concatenate([rng.permutation(44)[:12] + 1 for _ in range(60)]),
            "timestamp": rng.integers(1_700_000_000, 1_730_000_000, 720),
        }
    )
    views.write_csv(folder / "views.csv")
    (folder / "views").mkdir()
    for part, rows in enumerate((views[:360], views[360:])):
        rows.write_parquet(folder / "views" / f"{part}.parquet")
    later = views.with_columns(pl.col("user_id") + 30, pl.col("timestamp") + 40_000_000)
    later.write_csv(folder / "today.csv")
    views.rename({"user_id": "customer", "item_id": "sku", "timestamp": "ordered_at"}).write_csv(
        folder / "orders.csv"
    )
    wines = {"sku": range(1, 45), "country": ["Chile", "Italy"] * 22, "price": [9.5, 12.0] * 22}
    pl.DataFrame(wines).write_csv(folder / "wines.csv")
    arguments = ["train", folder / "my-model", "--dataset", folder / "views.csv", "--epochs", "1"]
    assert run([str(argument) for argument in arguments]) == 0
    return folder / "my-model"


@contextlib.contextmanager
def served(words: list[str], folder: Path) -> Iterator[str]:
    """A `serve` command of the pages on a free port, stopped at the end: its host and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("shortlist")
    started = subprocess.Popen(
        [program, *words[1:], "--port", str(port)], cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert started.poll() is None, "the service ended"
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        started.terminate()
        code = started.wait(30)
    assert code == 0


SERVES = sorted(
    {
        shlex.join(words)
        for page in PAGES
        for _, words in commands(page)
        if Path(words[0]).name == "shortlist" and words[1] == "serve"
    }
)


@pytest.mark.parametrize("command", SERVES)
def test_the_service_of_a_page_starts_and_ends(command: str, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "my-model")
    shutil.copytree(bundle, tmp_path / "models" / "1")
    with (
        served(shlex.split(command), tmp_path) as address,
        urllib.request.urlopen(f"http://{address}/readyz", timeout=20) as answer,
    ):
        assert answer.status == 200


@pytest.fixture(scope="module")
def service(bundle: Path) -> Iterator[str]:
    with served(["shortlist", "serve", "my-model", "--live", "my-model"], bundle.parent) as address:
        yield address


CURLS = [
    (page, words)
    for page in PAGES
    for _, words in commands(page)
    if words[0] == "curl" and "localhost:8501" in words[1]
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    ("page", "words"), CURLS, ids=[f"{page.stem}-{words[1]}" for page, words in CURLS]
)
def test_a_service_answers_the_curl_of_a_page(page: Path, words: list[str], service: str) -> None:
    asked = [word.replace("localhost:8501", service) for word in words]
    done = subprocess.run(
        [asked[0], "--silent", "--show-error", "--fail-with-body", *asked[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}: {shlex.join(words)}: {done.stdout}{done.stderr}"
    assert json.loads(done.stdout)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_a_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        assert str(page.relative_to(ROOT / "docs")) in navigation, page.name


def test_the_site_asks_nothing_of_other_hosts() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert re.search(r"^ +font: false\b", settings, re.MULTILINE)
    for style in (ROOT / "docs").rglob("*.css"):
        assert "http" not in style.read_text(encoding="utf-8")


def test_the_files_that_the_architecture_names_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:src|native)/[\w/.]+)`", page))
    assert len(named) > 20
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
