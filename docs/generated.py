"""What stands in the site in the place of a mark: text that the program itself has, at the time when the site is made.

| mark | is replaced by |
| :-- | :-- |
| `<!-- names: ROOM -->` | the public names (`fedprime.__all__`) that come from the package ROOM, by their docstrings |
| `<!-- verbs -->` | the help of every verb of the command line, and of the verbs below it |
| `<!-- settings -->` | every setting of every group, and of every method |
| `<!-- recipes -->` | the recipes and plans that come along |
| `<!-- further pages -->` | the pages of this folder that the index does not name |
"""

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path

import fedprime
from fedprime.cli.main import VERBS, main
from fedprime.methods import method_names
from fedprime.settings.describe import Setting, describe_groups, describe_settings

PAGES = Path(__file__).parent
MARK = re.compile(r"<!-- (names|verbs|settings|recipes|further pages)(?:: (\w+))? -->")


def fill_in(_app: object, page: str, source: list[str]) -> None:
    """Replaces the marks of a page and completes its title; Sphinx calls it with each page that it reads."""
    if re.fullmatch(r"results/\w+/\w+", page):  # "Tables" of which study? Some have no title at all.
        study, kind = (part.replace("_", " ") for part in page.split("/")[1:])
        source[0] = f"# {study}: {kind}\n\n" + re.sub(r"\A# .*\n", "", source[0])
    source[0] = MARK.sub(lambda mark: MAKERS[mark[1]](mark[2] or "", source[0]), source[0])


def _names(room: str, _text: str) -> str:
    places = fedprime._places()
    blocks = [_documented(name) for name in sorted(fedprime.__all__) if places[name].split(".")[1] == room]
    if not blocks:
        raise ValueError(f"no name of fedprime.__all__ comes from fedprime.{room}")
    return "\n\n".join(blocks)


def _documented(name: str) -> str:
    value = getattr(fedprime, name)
    kind = "class" if isinstance(value, type) else "function" if callable(value) else "data"
    made = "()" if getattr(value, "_is_protocol", False) else ""  # a protocol's own signature says nothing
    lines = [f".. auto{kind}:: fedprime.{name}{made}"]
    if isinstance(value, type):
        foreign = [own.__name__ for own in value.__mro__ if not own.__module__.startswith("fedprime.")]
        lines += ["   :members:", f"   :inherited-members: {', '.join(foreign)}"]
    return "\n".join(["```{eval-rst}", *lines, "```"])


def _verbs(_room: str, _text: str) -> str:
    parts = []
    for verb in VERBS:
        own = _said(verb, "--help")
        below = {f"{verb} {word}": _said(verb, word, "--help") for word in _verbs_below(verb, own)}
        helps = {verb: own} | {name: text for name, text in below.items() if text != own and text.startswith("usage:")}
        parts.append(f"## {verb}")
        for name, text in helps.items():
            if not any(text in other for other in helps.values() if other != text):
                parts += [f"### {name}"] * (name != verb) + [f"```text\n{text}\n```"]
    return "\n\n".join(parts)


def _verbs_below(verb: str, text: str) -> list[str]:
    """Returns the verbs that the usage of a verb names, as check and show of data."""
    usage = re.findall(rf"^(?:usage:|      ) fedprime {verb} ([a-z]+) (?!\|)", text, flags=re.MULTILINE)
    return list(dict.fromkeys(usage))


def _settings(_room: str, _text: str) -> str:
    groups = {"": "What no group is for: the seed, the frozen model, where it runs."} | describe_groups()
    settings, parts = describe_settings(), []
    for group, about in groups.items():
        parts.append(f"## {group or 'general'}\n\n{about}")
        parts += [_explained(each) for each in settings if each.group.partition(".")[0] == group]
    return "\n\n".join(parts)


def _explained(setting: Setting) -> str:
    default = setting.default
    plain = "" if dataclasses.is_dataclass(default) or default in ("", (), [], {}, None) else default
    shown = {True: "yes", False: "no"}.get(plain, plain) if isinstance(plain, bool) else plain
    value = f"*{setting.expected}*" + (f"; `{shown}` if not set" if shown != "" else "")
    lines = [f"`{setting.name}`", f": {setting.description} {value}."]
    if setting.methods and len(setting.methods) < len(method_names()):
        lines[1] += f" Of {', '.join(f'`{method}`' for method in setting.methods)}."
    return "\n".join(lines)


def _recipes(_room: str, _text: str) -> str:
    return f"```text\n{_said('recipes', 'list')}\n```"


def _said(*words: str) -> str:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:
        main(words)
    return said.getvalue().rstrip()


def _further_pages(_room: str, text: str) -> str:
    named = {"index", *re.findall(r"^\w+$", text, flags=re.MULTILINE)}
    return "\n".join(page.stem for page in sorted(PAGES.glob("*.md")) if page.stem not in named)


MAKERS: dict[str, Callable[[str, str], str]] = {
    "names": _names,
    "verbs": _verbs,
    "settings": _settings,
    "recipes": _recipes,
    "further pages": _further_pages,
}
