"""The verb ``recipes`` of the command line: what comes along to start from."""

import sys

from fedprime.settings.problems import known_verb
from fedprime.settings.recipes import find_recipe_or_plan, list_plans, list_recipes

_USAGE = "usage: fedprime recipes list | fedprime recipes show NAME"


def show_recipes(words: list[str]) -> int:
    """Lists recipes and plans or shows one, and returns the exit code."""
    if words == ["list"]:
        for title, entries in (
            ("recipes, for `fedprime run`", list_recipes()),
            ("plans, for `fedprime grid`", list_plans()),
        ):
            print(f"{title}:")
            print("".join(f"  {name:30}{summary}\n" for name, summary in entries.items()))
        return 0
    if len(words) == 2 and words[0] == "show":
        print(find_recipe_or_plan(words[1]).read_text(encoding="utf-8"), end="")
        return 0
    is_help = words in (["-h"], ["--help"])
    known_verb(words, ("list", "show"), "recipes")
    print(_USAGE if is_help else f"fedprime: {_USAGE}", file=sys.stdout if is_help else sys.stderr)
    return 0 if is_help else 2
