"""Files that lie in a table as bytes, with and without a schema that says so."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fedprime.data.sets.table.embedded_files import kind_of_bytes
from fedprime.data.sets.table.table import open_table


def photo(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), number, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("form", ["bytes", "bytes and path", "bytes alone in a struct"])
def test_bytes_of_images_are_images(form: str, tmp_path: Path):
    cells = {
        "bytes": photo,
        "bytes and path": lambda number: {"bytes": photo(number), "path": f"{number}.png"},
        "bytes alone in a struct": lambda number: {"bytes": photo(number)},
    }[form]
    columns = {"image": [*map(cells, range(4)), None], "label": ["a", "b", "a", "b", "a"]}
    pq.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    table = open_table(str(tmp_path))
    assert [str(own) for own in table.columns] == ["image:image=image"]
    assert table.there[:, 0].tolist() == [True] * 4 + [False]
    assert np.all(table.read(3, ("image",))["image"] == np.full((4, 5, 3), 3))  # pyright: ignore


def test_the_beginning_of_a_file_tells_what_it_is():
    assert kind_of_bytes(photo(1)) == "image"
    assert kind_of_bytes(b"RIFF\0\0\0\0WEBPVP8 ") == "image"
    assert kind_of_bytes(b"RIFF\0\0\0\0WAVEfmt ") == "audio"
    assert kind_of_bytes(b"neither") is None
