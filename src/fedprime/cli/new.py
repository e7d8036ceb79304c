"""The verb ``new`` of the command line: a small project to begin a study with."""

import keyword
import re
import string
import sys
from pathlib import Path

from fedprime.reproducibility.atomic_files import replaced_folder
from fedprime.reproducibility.errors import FedprimeError, as_word, quoted

_USAGE = """\
usage: fedprime new FOLDER

Writes a small project that runs at once: a method of your own, registered by an entry point, a recipe, a plan that
compares it with others, and a test. Its README.md says how to go on; docs/new_study.md explains it."""
_TEMPLATES = Path(__file__).with_name("study")
#: So that no linter or test takes them for a part of fedprime.
_SUFFIX = ".txt"


class StudyError(FedprimeError):
    """A project that cannot be written."""


def start_study(words: list[str]) -> int:
    """Writes a project, and returns the exit code."""
    if words in (["-h"], ["--help"]):
        print(_USAGE)
        return 0
    if len(words) != 1 or words[0].startswith("-"):
        raise StudyError(
            f"name one folder, for example: fedprime new my-study; found {quoted(' '.join(words)) or 'none'}"
        )
    folder = Path(words[0])
    _write(folder, folder.resolve().name)
    print(
        f"{folder} is there; go on with: cd {as_word(folder)} && pip install -e '.[test]' && fedprime run recipe.toml"
    )
    return 0


def _write(folder: Path, project: str) -> None:
    package = project.replace("-", "_")
    taken = {"fedprime", "torch", "src", "tests"} | sys.stdlib_module_names
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", project) or keyword.iskeyword(package) or package in taken:
        raise StudyError(
            f"{project!r} cannot be the name of a project and of its method; expected lower case letters, digits and "
            "hyphens, and no name that Python or fedprime has, for example my-study"
        )
    if folder.exists():
        raise StudyError(f"{folder} exists already and is not overwritten; name another folder")
    class_name = "".join(part.capitalize() for part in project.split("-"))
    names = {"project": project, "package": package, "class_name": class_name}
    with replaced_folder(folder, overwrites=False) as beside:
        for template in sorted(_TEMPLATES.rglob(f"*{_SUFFIX}")):
            inside = template.relative_to(_TEMPLATES).with_suffix("")
            path = beside.joinpath(*(package if part == "package" else part for part in inside.parts))
            path.parent.mkdir(parents=True, exist_ok=True)
            text = string.Template(template.read_text(encoding="utf-8")).substitute(names)
            path.write_text(text, encoding="utf-8")
