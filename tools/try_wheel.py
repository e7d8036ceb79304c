"""Starts every recipe from an installed wheel, in an environment that has nothing of this checkout.

    python tools/try_wheel.py dist/fedprime-1.0.0-py3-none-any.whl --environment build/wheel_environment

A recipe ends with one round, or it is skipped because data or a backbone do not come along, in the command's own words;
anything else is an error. With --borrow, libraries come from the environment that runs this, for machines that should
not fetch them again: fedprime itself is never borrowed.
"""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

#: One short round: that it starts is asked here, not what comes out.
_SHORT = ("--training.rounds=1", "--data.num_train=80", "--data.num_validation=20", "--data.num_test=40")
_SHORT += ("--partition.num_clients=4", "--partition.min_samples=1")
#: What a recipe says whose data a person has to name, or whose backbone is on the hub, which nobody asks here.
_NEEDS_FILES = re.compile(r"name its folder, --data\.path|cannot load a backbone from '\w+/")


def main() -> int:
    """Installs, starts, prints a line for each recipe; returns the exit code."""
    parser = argparse.ArgumentParser(description="Try an installed wheel.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--environment", type=Path, required=True, help="where to make the environment")
    parser.add_argument("--borrow", action="store_true", help="take libraries from the environment that runs this")
    given = parser.parse_args()
    python = install(given.wheel, given.environment.absolute(), borrows=given.borrow)
    where = fedprime(python, given.environment, "-c", "import fedprime; print(fedprime.__file__, fedprime.__version__)")
    print(where.stdout.strip() or where.stderr)
    if str(given.environment.absolute()) not in where.stdout:
        return 1
    names = "from fedprime.settings.recipes import list_recipes; print(*list_recipes())"
    recipes = fedprime(python, given.environment, "-c", names).stdout.split()
    failed = [name for name in recipes if not starts(python, given.environment, name)]
    print(f"{len(recipes)} recipes, {len(failed)} failed")
    return int(bool(failed) or not recipes)


def install(wheel: Path, environment: Path, *, borrows: bool) -> Path:
    """Makes an environment with the wheel in it, and returns its Python."""
    venv.create(environment, with_pip=True, clear=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    if borrows:
        place = fedprime(python, environment, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
        (Path(place.stdout.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    words = ("-m", "pip", "install", "--quiet", "--ignore-installed" if borrows else "--upgrade", str(wheel.absolute()))
    words += ("--no-deps",) if borrows else ()
    done = fedprime(python, environment, *words)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return python


def starts(python: Path, folder: Path, recipe: str) -> bool:
    """Starts a recipe, prints what became of it, and returns whether that is as it should be."""
    output = folder / "runs" / recipe
    done = fedprime(python, folder, "-m", "fedprime", "run", recipe, "--output", str(output.absolute()), *_SHORT)
    if done.returncode == 0 and (output / "results.json").exists():
        print(f"{recipe}: started, and ended its round")
        return True
    said = " ".join(done.stderr.split())
    is_skipped = done.returncode == 2 and _NEEDS_FILES.search(said) is not None
    print(f"{recipe}: {'skipped' if is_skipped else 'FAILED'}: {said}")
    return is_skipped


def fedprime(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the environment's Python outside of the checkout, without what the shell would add to its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"FEDPRIME_CACHE": str(folder.absolute() / "cache"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [python, *words], cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )


if __name__ == "__main__":
    sys.exit(main())
