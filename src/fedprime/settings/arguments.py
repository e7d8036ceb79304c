"""Settings that a class or function has by its own arguments: a method's fields, the options of a data set.

So a package that is not fedprime's own says what can be set, of which type, within which range and what it means, where
it takes it.
"""

import ast
import dataclasses
import inspect
import itertools
import re
import typing
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedprime.reproducibility.errors import nearest_name
from fedprime.settings.problems import SettingsError, describe_error

#: The default of an argument that has none.
REQUIRED = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Argument:
    """Something that can be set.

    Attributes:
        annotation: Its type, with the range that it may have.
        default: What it is if it is not set; `REQUIRED` if it has to be.
        description: What it means; empty if nobody says so.
    """

    annotation: Any
    default: Any = REQUIRED
    description: str = ""

    @cached_property
    def _adapter(self) -> Any:
        return TypeAdapter(self.annotation, config=ConfigDict(allow_inf_nan=False))

    def read(self, value: object) -> Any:
        """Returns a value converted to the type.

        Raises:
            pydantic.ValidationError: If it is no such value.
        """
        return self._adapter.validate_python(value)


@cache
def arguments_of(owner: Callable[..., Any]) -> Mapping[str, Argument]:
    """Returns by name what a class or function can be given by keyword."""
    is_dataclass = isinstance(owner, type) and dataclasses.is_dataclass(owner)
    annotated = owner.__init__ if isinstance(owner, type) and not is_dataclass else owner
    types, descriptions = typing.get_type_hints(annotated, include_extras=True), described_names(owner)
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: Argument(types.get(name, Any), parameter.default, descriptions.get(name, ""))
        for name, parameter in inspect.signature(owner).parameters.items()
        if parameter.kind in by_keyword
    }


def read_arguments(
    table: Mapping[str, Any], arguments: Mapping[str, Argument], prefix: str, title: str, remark: str = ""
) -> dict[str, Any]:
    """Returns values for arguments from a table: converted and checked, with defaults where it is silent.

    Args:
        table: As read from TOML or flags.
        prefix: The dotted name of the table.
        title: What the settings belong to.
        remark: What to say of a name that is not among them.

    Raises:
        SettingsError: If anything is wrong, with every problem.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name in table.keys() - arguments.keys():
        known = ", ".join(arguments) or "none"
        hint = nearest_name(f"{prefix}.{name}", [f"{prefix}.{own}" for own in arguments])
        problems.append(f"{prefix}.{name}: {title} has no such setting{remark}; it has {known}{hint}")
    for name, argument in arguments.items():
        if name not in table:
            if argument.default is REQUIRED:
                problems.append(f"{prefix}.{name} is not set; {title} needs it")
            values[name] = argument.default
            continue
        try:
            values[name] = argument.read(table[name])
        except ValidationError as error:
            problems += [line for entry in error.errors() for line in describe_error(entry, (), f"{prefix}.{name}")]
    if problems:
        raise SettingsError(sorted(problems))
    return values


@cache
def described_names(owner: Callable[..., Any]) -> Mapping[str, str]:
    """Returns what a class or function says about its fields or arguments.

    That is said in the section "Attributes" or "Args" of its docstring, or by a text under a field; a class inherits
    what those above it say.
    """
    found: dict[str, str] = {}
    for each in reversed(owner.__mro__) if isinstance(owner, type) else (owner,):
        if each is object:
            continue
        found |= _section_entries(inspect.cleandoc(each.__doc__ or ""))
        if isinstance(each, type):
            found |= _texts_under_fields(each)
    return found


def _section_entries(docstring: str) -> dict[str, str]:
    section = re.search(r"^(?:Attributes|Args):\n((?:[ ]{4}.*\n?|\n)+)", docstring, flags=re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section.group(1), flags=re.MULTILINE) if section else []
    return {name: " ".join(text.split()) for name, text in entries}


def _texts_under_fields(owner: type) -> dict[str, str]:
    try:
        definition = _class_definitions(inspect.getsourcefile(owner) or "").get(owner.__qualname__)
    except (OSError, TypeError):  # made at run time, or by a shell
        return {}
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in itertools.pairwise(definition.body if definition else [])
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


@cache  # `inspect.getsource` would read the file again for every class
def _class_definitions(file: str) -> dict[str, ast.ClassDef]:
    """Returns the classes of a source file by their qualified names."""
    found: dict[str, ast.ClassDef] = {}

    def look_into(body: list[ast.stmt], before: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                found[before + node.name] = node
                look_into(node.body, f"{before}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                look_into(node.body, f"{before}{node.name}.<locals>.")

    look_into(ast.parse(Path(file).read_text(encoding="utf-8")).body, "")
    return found
