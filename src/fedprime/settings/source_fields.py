"""Fields of a dataclass, read from its source: shells complete at once, and importing a method takes seconds."""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path


def fields_in_source(owner: str) -> dict[str, tuple[str, ...]]:
    """Returns by name of each field the words that it may be; none where others than certain words are right, too.

    What is not of fedprime or of the class's own package is not looked into.

    Args:
        owner: The class, as ``"package.module:Class"``.

    >>> fields_in_source("fedprime.methods.pfpt:PFPT")["likelihood"]
    ('mean', 'sum')
    """
    module, _, name = owner.partition(":")
    return _fields(module, name, ("fedprime", module.partition(".")[0]))


def words_in_source(alias: str) -> tuple[str, ...]:
    """Returns the words of a type that has a name.

    Args:
        alias: The type, as ``"package.module:Name"``.
    """
    module, _, name = alias.partition(":")
    return _words(module, ast.Name(name), ("fedprime", module.partition(".")[0]))


def _fields(module: str, name: str, packages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    place, definition = _found(module, name, packages)
    if not isinstance(definition, ast.ClassDef):
        return {}
    fields: dict[str, tuple[str, ...]] = {}
    for base in reversed(definition.bases):
        if isinstance(base, ast.Name):
            fields |= _fields(place, base.id, packages)
    for node in definition.body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and _outer(node.annotation) != "ClassVar"
        ):
            fields[node.target.id] = _words(place, node.annotation, packages)
    return fields


def _words(module: str, annotation: ast.expr, packages: tuple[str, ...]) -> tuple[str, ...]:
    if _outer(annotation) == "bool":
        return ("true", "false")
    if isinstance(annotation, ast.Name):
        place, meant = _found(module, annotation.id, packages)
        return () if meant is None or isinstance(meant, ast.ClassDef) else _words(place, meant, packages)
    if isinstance(annotation, ast.Subscript) and _outer(annotation) in ("Literal", "Annotated", "tuple"):
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if _outer(annotation) == "Literal":
            return tuple(str(each.value) for each in inner if isinstance(each, ast.Constant))
        return _words(module, inner[0], packages)
    return ()


def _outer(annotation: ast.expr) -> str:
    outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return outer.id if isinstance(outer, ast.Name) else ""


def _found(module: str, name: str, packages: tuple[str, ...]) -> tuple[str, ast.ClassDef | ast.expr | None]:
    """Returns the module that a name comes from, and the class or value that it is there; None if that is not known."""
    if module.partition(".")[0] not in packages:
        return module, None
    names = _names(module)
    meant = names.get(name)
    return _found(*meant, packages) if isinstance(meant, tuple) else (module, meant)


@cache
def _names(module: str) -> dict[str, ast.ClassDef | ast.expr | tuple[str, str]]:
    """Returns the classes and values of a module by name, and of what it imports the module and the name there."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return {}
    return dict(_named(ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body))


def _named(body: list[ast.stmt]) -> Iterator[tuple[str, ast.ClassDef | ast.expr | tuple[str, str]]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                yield each.asname or each.name, (node.module, each.name)
