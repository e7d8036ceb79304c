"""README and docs are true: their code runs, the files and names that they mention exist."""

import importlib.util
import itertools
import json
import re
from pathlib import Path

import pytest

import fedprime
from fedprime.cli.main import main
from fedprime.settings.describe import describe_settings
from fedprime.settings.recipes import list_recipes

ROOT = Path(__file__).parents[1]
SETTINGS = {setting.name for setting in describe_settings()}
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))
FOLDERS = [DOCS, DOCS / "tutorials", DOCS / "reference", DOCS / "reference" / "python"]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for folder in FOLDERS for page in sorted(folder.glob("*.md"))),
    *NOTEBOOKS,
]


def text_of(page: Path) -> str:
    """Returns the words of a page; of a notebook those of its cells."""
    text = page.read_text(encoding="utf-8")
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"]) if page in NOTEBOOKS else text


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_ten_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # The other block is about a frame that the reader has; examples/data_frame.py is run by a test of its own.
    (block,) = [block for block in python_blocks(ROOT / "README.md") if "start_run" in block]
    # The same lines on a smaller run: a few seconds instead of a minute.
    flags = (
        '"--training.rounds", "1", "--data.num_train", "100", "--data.num_validation", "20", '
        '"--data.num_test", "60", "--partition.num_clients", "2"'
    )
    small, replaced = re.subn(r"flags=\[.*?\]", f"flags=[{flags}]", block)
    assert replaced == 1
    exec(compile(small, "README.md", "exec"), {})  # noqa: S102


def test_every_symbol_of_the_paper_page_stands_in_the_files_named_beside_it() -> None:
    table = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8").split("## Symbols")[1].split("##")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ") and "symbol" not in line]
    assert len(rows) > 15
    for _, _, names, files in rows:
        source = "".join(
            (ROOT / "src" / "fedprime" / file).read_text(encoding="utf-8") for file in re.findall(r"`([^`]+)`", files)
        )
        for name in re.findall(r"`([^`]+)`", names):
            assert name.split(".")[-1].split(" ")[0] in source or name in ("1 - cos", "see alignment.py"), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_that_a_page_names_exist(page: Path) -> None:
    text = text_of(page)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    paths = re.findall(r"`((?:docs|tests|tools|src|recipes|benchmarks)/[\w./-]+)`", text)
    for name in [*links, *paths]:
        assert (page.parent / name).exists() or (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_and_settings_that_a_page_names_exist(page: Path) -> None:
    text = text_of(page)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", text)) <= targets
    sections = {name.partition(".")[0] for name in SETTINGS if "." in name}
    flag = re.compile(rf"--((?:{'|'.join(sections)})\.[\w-]+)")
    settings = {name.replace("-", "_") for name in flag.findall(text)}
    assert settings <= SETTINGS


@pytest.mark.parametrize("page", [page for page in PAGES if page not in NOTEBOOKS], ids=lambda page: page.name)
def test_what_a_page_shows_is_shown_as_it_is_meant(page: Path) -> None:
    blocks = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL).split("\n\n")
    for table in (block.splitlines() for block in blocks if block.startswith("|")):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1, table[0]  # a | in code is one, too
    for before, block in itertools.pairwise(blocks):
        if block.startswith("    "):
            assert not before.lstrip().startswith("- "), f"commands are a part of the list above: {block}"


def test_recipes_named_in_the_readme_come_along() -> None:
    named = set(re.findall(r"\b(builtin/[\w-]+)\b", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named
    assert named <= set(list_recipes())


def test_verbs_shown_in_the_readme_exist(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = set(
        re.findall(r"^ *fedprime ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert verbs
    assert all(f"  {verb} " in overview for verb in verbs)


def test_notebooks_are_kept_without_what_they_printed() -> None:
    assert len(NOTEBOOKS) >= 4
    for notebook in NOTEBOOKS:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), notebook.name


def test_the_reference_has_every_public_name_once() -> None:
    place = importlib.util.spec_from_file_location("generated", DOCS / "generated.py")
    assert place is not None
    assert place.loader is not None
    generated = importlib.util.module_from_spec(place)
    place.loader.exec_module(generated)
    documented: list[str] = []
    for page in (DOCS / "reference" / "python").glob("*.md"):
        source = [page.read_text(encoding="utf-8")]
        generated.fill_in(None, f"reference/python/{page.stem}", source)
        documented += re.findall(r"^\.\. auto\w+:: fedprime\.(\w+)", source[0], flags=re.MULTILINE)
    assert sorted(documented) == sorted(fedprime.__all__)
