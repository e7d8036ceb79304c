"""What the project is built with is named exactly: locked packages by hashes, actions of CI by commits."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements/dev.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def test_the_lock_file_has_all_of_the_development_environment_but_torch():
    locked = set(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==", LOCK, flags=re.MULTILINE))
    asked = {name_of(entry) for entry in [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]}
    assert asked - locked == {"torch"}


def test_the_lock_file_has_a_hash_for_every_package_and_no_place():
    entries = re.split(r"\n(?=\S)", LOCK.partition("\n")[2])
    packages = [entry for entry in entries if not entry.startswith("#")]
    assert len(packages) > 100
    assert [entry for entry in packages if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|--index|--find-links|file:", LOCK) == []


def test_extras_are_in_the_development_environment_as_they_are():
    extras, group = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]["dev"]
    for extra in ("audio", "page", "privacy", "simulation", "tune"):
        assert set(extras[extra]) <= set(group)


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path):
    used = re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []
