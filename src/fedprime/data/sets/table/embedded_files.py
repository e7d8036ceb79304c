"""Files that lie in a table: as bytes, or as bytes with a path, whether or not its schema says what they are."""

import pyarrow as pa

#: How files of images and sounds begin, and what follows 8 bytes later.
_IMAGES = ((b"\x89PNG", b""), (b"\xff\xd8\xff", b""), (b"GIF8", b""), (b"BM", b""), (b"II*\0", b""), (b"MM\0*", b""))
_IMAGES += ((b"RIFF", b"WEBP"),)
_SOUNDS = ((b"RIFF", b"WAVE"), (b"fLaC", b""), (b"OggS", b""), (b"ID3", b""), (b"\xff\xfb", b""), (b"FORM", b"AIF"))
_LOOKED_AT = 20


def is_embedded(kind: pa.DataType) -> bool:
    """Returns whether cells hold files: bytes, or a struct with bytes or a path."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 or kind.get_field_index("path") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def kind_of_bytes(content: bytes) -> str | None:
    """Returns "image" or "audio", as the beginning of a file tells; None if it is neither.

    >>> kind_of_bytes(b"RIFF1234WAVEfmt "), kind_of_bytes(b"words")
    ('audio', None)
    """
    for kind, beginnings in (("image", _IMAGES), ("audio", _SOUNDS)):
        if any(content.startswith(first) and content[8:].startswith(then) for first, then in beginnings):
            return kind
    return None


def looks_like_files(cells: pa.ChunkedArray) -> str | None:
    """Returns "image" or "audio" where most of the first files are that, by what is in them or by their endings."""
    found: list[str | None] = []
    for start in range(min(len(cells), 1000)):
        cell = cells[start].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if content:
            found.append(kind_of_bytes(content))
        if len(found) == _LOOKED_AT:
            break
    return next((kind for kind in ("image", "audio") if found.count(kind) > len(found) / 2), None)


def lengths_and_paths(cells: pa.ChunkedArray) -> tuple[list[int], list[str | None]]:
    """Returns how many bytes each cell holds, and the path that stands beside them; bytes stay on disk."""
    if not pa.types.is_struct(cells.type):
        return _lengths(cells), [None] * len(cells)
    names = [field.name for field in cells.type]
    lengths = _lengths(_field(cells, "bytes")) if "bytes" in names else [0] * len(cells)
    paths: list[str | None] = _field(cells, "path").to_pylist() if "path" in names else [None] * len(cells)
    return lengths, paths


def _lengths(cells: pa.ChunkedArray) -> list[int]:
    if pa.types.is_null(cells.type):
        return [0] * len(cells)
    import pyarrow.compute as pc  # slow to import, and few tables have such cells

    return pc.call_function("binary_length", [cells]).fill_null(0).to_pylist()


def _field(cells: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.call_function("struct_field", [cells], pc.StructFieldOptions([name]))
