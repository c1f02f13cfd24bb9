"""The documentation is true: its Python runs, and its commands exist."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer

from shortlist.cli.app import app, run

COMMANDS = typer.main.get_command(app).commands
ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(r"^( *)```(python|console|toml)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


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
    """Whether a command is one that a test can run to its end and in little time."""
    return Path(words[0]).name == "shortlist" and words[1] not in ("serve", "demo")


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
            options = {name for option in known.params for name in option.opts}
            for word in words[2:]:
                assert not word.startswith("-") or word in options, f"{where}: no option {word}"
        elif program == "make":
            assert re.search(rf"^[\w ./-]*\b{words[1]}\b.*:", makefile, re.MULTILINE), where
        elif program == "python":
            assert (ROOT / words[1]).is_file(), f"{where}: no such file"
        else:
            assert program == "curl", where


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
            "item_id": np.concatenate([rng.permutation(40)[:12] + 1 for _ in range(60)]),
            "timestamp": rng.integers(1_700_000_000, 1_730_000_000, 720),
        }
    )
    views.write_csv(folder / "views.csv")
    views.rename({"user_id": "customer", "item_id": "sku", "timestamp": "ordered_at"}).write_csv(
        folder / "orders.csv"
    )
    wines = {"sku": range(1, 41), "country": ["Chile", "Italy"] * 20, "price": [9.5, 12.0] * 20}
    pl.DataFrame(wines).write_csv(folder / "wines.csv")
    arguments = ["train", folder / "my-model", "--dataset", folder / "views.csv", "--epochs", "1"]
    assert run([str(argument) for argument in arguments]) == 0
    return folder / "my-model"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_a_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert str(page.relative_to(ROOT / "docs")) in navigation, page.name


def test_the_site_asks_nothing_of_other_hosts() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert re.search(r"^ +font: false\b", settings, re.MULTILINE)
    for style in (ROOT / "docs").rglob("*.css"):
        assert "http" not in style.read_text(encoding="utf-8")
