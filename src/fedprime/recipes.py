"""The recipes that come along: settings for experiments, as TOML files with a header that says what they show."""

from pathlib import Path

from fedprime.config import SettingsError, nearest_name

__all__ = ["find_recipe", "list_recipes"]

# In a checkout they stand beside `src`; in an installed package they are inside it (see pyproject.toml).
_FOLDERS = (Path(__file__).parents[2] / "recipes", Path(__file__).parent / "recipes_installed")


def list_recipes() -> dict[str, str]:
    """Returns by name of every recipe the first sentence of its header."""
    recipes: dict[str, str] = {}
    for path in sorted(_folder().rglob("*.toml")):
        first_line = path.read_text(encoding="utf-8").partition("\n")[0]
        recipes[path.relative_to(_folder()).with_suffix("").as_posix()] = first_line.lstrip("# ")
    return recipes


def find_recipe(name: str) -> Path:
    """Returns the file of a recipe.

    Args:
        name: A file, or the name of a recipe that comes along.

    Raises:
        SettingsError: If there is no such recipe.
    """
    if Path(name).is_file():
        return Path(name)
    inside = _folder() / f"{name.removesuffix('.toml').removeprefix('recipes/')}.toml"
    if inside.is_file():
        return inside
    hint = nearest_name(name, list_recipes())
    raise SettingsError([f"there is no recipe {name}: neither a file nor one that comes along{hint}"])


def _folder() -> Path:
    return next(folder for folder in _FOLDERS if folder.is_dir())
