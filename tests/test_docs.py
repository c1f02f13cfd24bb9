"""The documentation is true: its Python runs, and its commands exist."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(r"^( *)```(python|console)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_python_of_a_page_runs_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = blocks(page, "python")
    if not found:
        return
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": page.stem}
    for line, code in found:
        # The empty lines in front make a traceback name the line of the page.
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    import typer

    from shortlist.cli.app import app

    group = typer.main.get_command(app)
    makefile = (ROOT / "Makefile").read_text()
    for line, code in blocks(page, "console"):
        for command in code.replace("\\\n", " ").splitlines():
            words = shlex.split(command, comments=True)
            while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
                words = words[1:]
            if not words:
                continue
            where = f"{page.name}, near line {line}: {command}"
            program = Path(words[0]).name
            if program == "shortlist":
                known = group.commands.get(words[1])
                assert known is not None, f"{where}: no such command"
                options = {name for option in known.params for name in option.opts}
                for word in words[2:]:
                    if word in ("&", "|", ">"):
                        break
                    if word.startswith("-") and word != "-":
                        assert word.split("=")[0] in options, f"{where}: no option {word}"
            elif program == "make":
                targets = [word for word in words[1:] if "=" not in word]
                for target in targets:
                    assert re.search(rf"^[\w .-]*\b{target}\b.*:", makefile, re.MULTILINE), where
            elif program.startswith("python"):
                script = next(word for word in words[1:] if not word.startswith("-"))
                assert (ROOT / script).is_file(), f"{where}: no such file"
            else:
                assert program in {"curl", "pip", "cd", "cat", "cmake", "ls"}, where


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
