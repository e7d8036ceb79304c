"""The shape of the project: a test file per module, imports that go down only, nothing that makes research code die."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fedprime

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fedprime"
MODULES = {path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTED = re.compile(r"from \S+ import |import |\w+,$|\"[\w ]+\",$")
#: Tests of no single module.
WIDE_TESTS = {
    *("test_architecture.py", "test_data_sets.py", "test_docs.py", "test_examples.py", "test_real_data.py"),
    *("test_deploy_files.py", "test_private_messages.py", "test_supply.py", "test_table_errors.py"),
}


@functools.cache
def nodes() -> dict[Path, list[ast.AST]]:
    return {path: list(ast.walk(ast.parse(text))) for path, text in MODULES.items()}


def places(wanted: Callable[[ast.AST], bool]) -> list[str]:
    """Where in the package something stands, as file:line."""
    return [
        f"{path}:{getattr(node, 'lineno', 0)}"
        for path, of_module in nodes().items()
        for node in of_module
        if wanted(node)
    ]


def is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def test_every_module_has_its_test_file():
    expected = {path.with_name(f"test_{path.name}") for path in MODULES if path.name != "__init__.py"}
    assert [str(path) for path in sorted(expected) if not (ROOT / "tests" / path).is_file()] == []


def test_every_test_file_has_its_module():
    tests = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    mirrored = {path for path in tests if path.parts[0] not in ("slow", "tools") and path.name not in WIDE_TESTS}
    modules = {path.with_name(path.name.removeprefix("test_")) for path in mirrored}
    assert sorted(map(str, modules - MODULES.keys())) == []


def test_every_test_of_a_tool_has_its_tool():
    tested = {path.name.removeprefix("test_") for path in (ROOT / "tests" / "tools").glob("test_*.py")}
    assert tested <= {path.name for path in (ROOT / "tools").glob("*.py")}


def test_at_most_one_line_in_a_hundred_stands_twice():
    # A line stands twice if it is one of six in a row that stand again elsewhere, letter for letter, imports apart.
    places: dict[tuple[str, ...], list[set[tuple[Path, int]]]] = {}
    for path, text in MODULES.items():
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines())]
        telling = [(number, line) for number, line in lines if re.search(r"\w", line) and not IMPORTED.match(line)]
        for first in range(len(telling) - 5):
            run = telling[first : first + 6]
            places.setdefault(tuple(line for _, line in run), []).append({(path, number) for number, _ in run})
    twice = set[tuple[Path, int]]().union(*(line for found in places.values() if len(found) > 1 for line in found))
    assert len(twice) <= 0.01 * sum(len(text.splitlines()) for text in MODULES.values()), sorted(twice)


def test_no_function_has_more_than_sixty_lines_beside_its_docstring():
    def is_long(node: ast.AST) -> bool:
        if not isinstance(node, ast.FunctionDef):
            return False
        docstring = (ast.get_docstring(node, clean=False) or "").count("\n") + 1
        return (node.end_lineno or 0) - node.lineno + 1 - docstring > 60

    assert places(is_long) == []


def test_tests_are_no_packages():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_imports_go_down_only():
    # In a process of its own: the linter configures logging, which would silence the loggers of every test after it.
    command = [
        sys.executable,
        "-c",
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))",
    ]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
    assert "1 kept, 0 broken" in linted.stdout


def test_only_the_runtimes_know_flower():
    assert [str(path) for path, text in MODULES.items() if "flwr" in text and path.parts[0] != "runtime"] == []


def test_nobody_left_a_breakpoint():
    assert places(lambda node: is_call(node, "breakpoint")) == []
    assert places(lambda node: isinstance(node, ast.Import) and any("pdb" in name.name for name in node.names)) == []


def test_nothing_is_asserted_that_python_could_be_told_to_skip():
    assert places(lambda node: isinstance(node, ast.Assert)) == []


def test_nothing_is_imported_without_being_named():
    assert places(lambda node: isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names)) == []


def test_no_error_is_caught_without_being_named():
    assert places(lambda node: isinstance(node, ast.ExceptHandler) and node.type is None) == []


def test_only_the_command_line_and_its_display_print():
    found = places(lambda node: is_call(node, "print"))
    assert found
    assert [place for place in found if not place.startswith("cli/")] == []


def test_nothing_is_drawn_from_a_global_source_of_randomness():
    sources = ("np.random.seed", "np.random.rand", "np.random.default_rng(", "torch.manual_seed", "import random\n")
    assert [str(path) for path, text in MODULES.items() if any(source in text for source in sources)] == []


def test_every_module_says_what_it_is():
    first_lines = {path: (ast.get_docstring(ast.parse(text)) or "").split("\n")[0] for path, text in MODULES.items()}
    assert [str(path) for path, line in first_lines.items() if not line.endswith((".", ":"))] == []


def test_everything_that_the_package_offers_is_there():
    assert len(fedprime.__all__) == len(set(fedprime.__all__))
    assert [name for name in fedprime.__all__ if not hasattr(fedprime, name)] == []


def test_a_module_lists_what_it_offers_only_if_some_of_it_is_imported():
    # The names without an underscore are what a module offers; a list of them would say it twice.
    for path, text in MODULES.items():
        module = ast.parse(text)
        imported = {
            alias.asname or alias.name
            for node in module.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in module.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                assert path.name == "__init__.py" or imported & set(ast.literal_eval(node.value)), path
