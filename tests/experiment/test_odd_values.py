"""What no backbone can take is missing before samples are divided; a modality that nobody has is a mistake."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.data.sources import DataError
from fedprime.experiment.embedded_data import embedded_samples
from fedprime.settings.data_settings import DataSettings


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return load_backbone()


def write(folder: Path, num_odd: int, *, empty: bool = False) -> DataSettings:
    lines = ["file_name,text,label,split"]
    for number in range(8):
        size = (1, 300) if number < num_odd else (20, 20)
        Image.fromarray(np.full((size[1], size[0], 3), number, dtype=np.uint8)).save(folder / f"{number}.png")
        words = "" if number == 0 else f"thing {number}"
        name, split = "" if empty else f"{number}.png", "train" if number < 6 else "test"
        lines.append(f"{name},{words},{'ab'[number % 2]},{split}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return DataSettings(name="table", path=str(folder), columns=("image=file_name", "text=text"))


def test_an_odd_value_is_missing_of_its_sample_and_one_with_nothing_left_is_known_before_dividing(
    tiny: Backbone, tmp_path: Path
):
    samples = embedded_samples(write(tmp_path, 2), tiny)
    assert samples.source.there.tolist() == [[False, False], [False, True], *[[True, True]] * 6]
    (places,) = samples.odd.by_place().values()
    assert list(places) == [f"{tmp_path}: 0.png (row 1)", f"{tmp_path}: 1.png (row 2)"]


def test_a_modality_of_which_nothing_can_be_used_is_an_error(tiny: Backbone, tmp_path: Path):
    data = write(tmp_path, 8)
    with pytest.raises(DataError, match=r"none of 8 values of image can be used; the first is .*0.png \(row 1\)"):
        embedded_samples(data, tiny)


def test_a_modality_that_no_row_names_is_an_error_but_at_a_site(tiny: Backbone, tmp_path: Path):
    data = write(tmp_path, 0, empty=True)
    with pytest.raises(DataError, match="no sample has any image; mend the table, or name those to use"):
        embedded_samples(data, tiny)
    assert not embedded_samples(data, tiny, may_be_empty=True).there[:, 0].any()
