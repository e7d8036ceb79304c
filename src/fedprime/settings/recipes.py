"""Recipes (settings of one run) and plans (of many) that come along: TOML files whose header says what they show."""

from pathlib import Path

from fedprime.reproducibility.errors import as_word, nearest_name
from fedprime.settings.problems import SettingsError
from fedprime.settings.recipe_tables import read_toml

# In a checkout they stand beside `src`; in an installed package they are inside it (see pyproject.toml).
_PACKAGE = Path(__file__).parents[1]
_FOLDERS = (_PACKAGE.parents[1] / "recipes", _PACKAGE / "recipes_installed")
#: Folders of recipes that expect data beside the checkout: an installed package has none of them.
_OF_CHECKOUT = ("flipkart7", "fsdd_digits")
#: The folder of the plans among the recipes.
_PLANS = "plans/"


def list_recipes() -> dict[str, str]:
    """Returns by name of every recipe the first sentence of its header."""
    return {name: summary for name, summary in _list_all().items() if not name.startswith(_PLANS)}


def list_plans() -> dict[str, str]:
    """Returns by name of every plan the first sentence of its header."""
    return {name: summary for name, summary in _list_all().items() if name.startswith(_PLANS)}


def find_recipe(name: str) -> Path:
    """Returns the file of a recipe.

    Args:
        name: A file, or the name of a recipe that comes along.

    Raises:
        SettingsError: If there is no such recipe, or if it is a plan.
    """
    path = _find(name, "") or _find(name, _PLANS)
    if path is None:
        if Path(name).is_dir():
            raise SettingsError(_about_folder(Path(name)))
        raise _absent("recipe", name, nearest_name(name, list_recipes()))
    if is_plan(path):
        short = name.removeprefix(_PLANS)
        raise SettingsError(f"{name} is a plan, which is many runs; run them all with: fedprime grid {as_word(short)}")
    if not path.read_bytes().strip():
        raise SettingsError(f"{name} is empty; expected a recipe, such as `fedprime recipes show builtin/quickstart`")
    return path


def _about_folder(path: Path) -> str:
    if (path / "settings.toml").is_file():
        return f"{path} is the folder of a run, not a recipe; it goes on with: fedprime run --resume {as_word(path)}"
    return (
        f"{path} is a folder, not a recipe; to train on its data: fedprime run table/folder --data.path {as_word(path)}"
    )


def find_plan(name: str) -> Path:
    """Returns the file of a plan.

    Args:
        name: A file, or the name of a plan that comes along, with or without ``plans/`` before it.

    Raises:
        SettingsError: If there is no such plan, or if it is a recipe.
    """
    path = _find(name, _PLANS) or _find(name, "")
    if path is None:
        known = [plan.removeprefix(_PLANS) for plan in list_plans()]
        raise _absent("plan", name, nearest_name(name.removeprefix(_PLANS), known))
    if not is_plan(path):
        raise SettingsError(f"{name} is a recipe, which is one run; run it with: fedprime run {as_word(name)}")
    return path


def find_recipe_or_plan(name: str) -> Path:
    """Returns the file of a recipe or plan.

    Args:
        name: A file, or a name as `list_recipes` and `list_plans` tell it.

    Raises:
        SettingsError: If there is neither.
    """
    path = _find(name, "") or _find(name, _PLANS)
    if path is None:
        raise _absent("recipe or plan", name, nearest_name(name, _list_all()))
    return path


def _absent(what: str, name: str, hint: str) -> SettingsError:
    hint = hint or "; `fedprime recipes list` shows those"
    return SettingsError(f"there is no {what} {name}: neither a file nor one that comes along{hint}")


def plan_name(path: Path) -> str:
    """Returns a name for the runs of a plan: that of its file, after those of its folders among the plans."""
    return _name_inside(path, _folder() / _PLANS)


def recipe_name(name: str) -> str:
    """Returns a name for runs that start from a recipe: that of its file, after those of its folders.

    Raises:
        SettingsError: If there is no such recipe, or if it is a plan.
    """
    return _name_inside(find_recipe(name), _folder())


def _name_inside(path: Path, folder: Path) -> str:
    inside = path.resolve().is_relative_to(folder.resolve())
    return "-".join(path.resolve().relative_to(folder.resolve()).with_suffix("").parts) if inside else path.stem


def _list_all() -> dict[str, str]:
    summaries: dict[str, str] = {}
    for path in sorted(_folder().rglob("*.toml")):
        first_line = path.read_text(encoding="utf-8").partition("\n")[0]
        summaries[path.relative_to(_folder()).with_suffix("").as_posix()] = first_line.lstrip("# ")
    return summaries


def _find(name: str, prefix: str) -> Path | None:
    if Path(name).is_file():
        return Path(name)
    short = name.removesuffix(".toml").removeprefix("recipes/").removeprefix(prefix)
    inside = _folder() / f"{prefix}{short}.toml"
    if inside.is_file():
        return inside
    group = short.partition("/")[0]
    if group in _OF_CHECKOUT and not (_folder() / group).is_dir():
        raise SettingsError(f"{name} needs a checkout of fedprime: its data are not installed; use table/folder")
    return None


def is_plan(path: Path) -> bool:
    """Returns whether a file is a plan rather than a recipe."""
    return not {"seeds", "axes", "settings", "recipe", "search"}.isdisjoint(read_toml(path))


def _folder() -> Path:
    return next(folder for folder in _FOLDERS if folder.is_dir())
