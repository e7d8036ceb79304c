"""Predictions from any subset of modalities, and inputs that are not what they should be."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.data.images import InputError
from fedprime.methods.fedprime import FedPrime
from fedprime.models.prediction import predict_samples, read_table
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import torch_stream

LABELS = ("bread", "soup", "cake")
MODALITIES = ("image", "text", "readings")
KINDS = {"image": "image", "text": "text", "readings": "numbers"}
RED = np.full((64, 64, 3), (200, 30, 30), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> PromptedModel:
    """A model that reads images, texts and numbers."""
    backbone = load_backbone("tiny", MODALITIES)
    return FedPrime(num_prompts=4, pool_size=4).build(backbone, LABELS, rng=torch_stream(0, "initial weights"))


@pytest.fixture
def two_modalities(tiny: Backbone) -> PromptedModel:
    """A model that reads images and texts."""
    return FedPrime(num_prompts=4, pool_size=4).build(tiny, LABELS, rng=torch_stream(0, "initial weights"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.fromarray(RED).save(path)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "samples.csv"


@pytest.mark.parametrize(
    "sample",
    [
        {"image": RED},
        {"text": "tomato soup"},
        {"readings": (0.5, -1.0)},
        {"image": RED, "text": "tomato soup"},
        {"image": RED, "readings": (0.5,)},
        {"text": "tomato soup", "readings": (0.5,)},
        {"image": RED, "text": "tomato soup", "readings": (0.5, 1.0, 2.0)},
    ],
    ids=lambda sample: "+".join(sample),
)
def test_any_subset_of_modalities_gives_a_prediction(sample: Mapping[str, object], model: PromptedModel):
    (prediction,) = predict_samples(model, [sample])
    assert prediction["present"] == list(sample)
    assert prediction["probabilities"].keys() == set(LABELS)
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)
    assert prediction["label"] == max(LABELS, key=prediction["probabilities"].__getitem__)


def test_a_prediction_does_not_depend_on_the_other_samples(model: PromptedModel):
    samples: list[dict[str, object]] = [
        {"text": "soup"},
        {"image": RED, "text": "a much longer title of a dish"},
        {"readings": (1.0,)},
    ]
    together = predict_samples(model, samples)
    for sample, prediction in zip(samples, together, strict=True):
        (alone,) = predict_samples(model, [sample])
        assert alone["probabilities"] == pytest.approx(prediction["probabilities"], rel=1e-4)


def test_more_samples_than_fit_into_a_batch_keep_their_order(two_modalities: PromptedModel):
    texts = [f"soup {number % 7}" for number in range(150)]
    predictions = predict_samples(two_modalities, [{"text": text} for text in texts])
    assert len(predictions) == 150
    for number in range(7, 150):
        assert predictions[number]["probabilities"] == pytest.approx(predictions[number - 7]["probabilities"], rel=1e-4)


def test_no_samples_give_no_predictions(two_modalities: PromptedModel):
    assert predict_samples(two_modalities, []) == []


def test_the_order_of_modalities_in_a_sample_means_nothing(two_modalities: PromptedModel):
    (here,) = predict_samples(two_modalities, [{"image": RED, "text": "soup"}])
    (there,) = predict_samples(two_modalities, [{"text": "soup", "image": RED}])
    assert here == there


def test_a_sample_with_nothing_in_it_is_refused(two_modalities: PromptedModel):
    with pytest.raises(InputError, match="row 2: nothing is there; give at least one of image, text"):
        predict_samples(two_modalities, [{"text": "soup"}, {}])


def test_a_modality_that_the_model_does_not_read_is_refused(two_modalities: PromptedModel):
    with pytest.raises(InputError, match="row 1: the model reads image, text; it cannot use readings"):
        predict_samples(two_modalities, [{"readings": (1.0,)}])


@pytest.mark.parametrize("value", [(np.nan,), (np.inf, 1.0)])
def test_numbers_that_are_not_finite_are_refused(value: tuple[float, ...], model: PromptedModel):
    with pytest.raises((InputError, BackboneError), match="finite numbers"):
        predict_samples(model, [{"readings": value}])


def test_a_table_with_holes_gives_what_is_there(table: Path, picture: Path):
    table.write_text(
        "id,text,image,readings,note\n"
        f"1,tomato soup,{picture.name},0.5 -1e3,x\n"
        "2,,red.png,,\n"
        '3,"bread, and ""cake""",,,\n'
        "4, ,  ,1 2\n"
        "5,short\n"
    )
    rows = read_table(table, KINDS)
    assert np.array_equal(rows[0].pop("image"), RED)
    assert np.array_equal(rows[1].pop("image"), RED)
    assert rows == [
        {"text": "tomato soup", "readings": (0.5, -1000.0)},
        {},
        {"text": 'bread, and "cake"'},
        {"readings": (1.0, 2.0)},
        {"text": "short"},
    ]


def test_a_column_of_another_name_is_ignored(table: Path):
    table.write_text("text,price\nsoup,3\n")
    assert read_table(table, {"image": "image", "text": "text"}) == [{"text": "soup"}]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("text,readings\nsoup,1 2\n", "has the column readings, which the model does not read"),
        ("text,text\nsoup,stew\n", "has the column text twice"),
        ("text,price\nfresh basil, tomato,3\n", "row 1: more cells than columns"),
        ("image\nnone.png\n", "row 1: there is no image"),
    ],
)
def test_nothing_of_a_table_is_lost_without_a_word(table: Path, content: str, problem: str):
    table.write_text(content)
    with pytest.raises(InputError, match=problem):
        read_table(table, {"image": "image", "text": "text"})


def test_spaces_after_commas_are_not_part_of_names_or_cells(table: Path):
    table.write_text("price, text\n3, soup\n")
    assert read_table(table, {"image": "image", "text": "text"}) == [{"text": "soup"}]


def test_images_are_found_beside_the_table(table: Path, picture: Path, monkeypatch: pytest.MonkeyPatch):
    (table.parent / "elsewhere").mkdir()
    monkeypatch.chdir(table.parent / "elsewhere")
    table.write_text(f"image\n{picture.name}\n")
    assert np.array_equal(read_table(table, KINDS)[0]["image"], RED)


def test_a_full_path_in_a_table_is_taken_as_it_is(table: Path, picture: Path):
    table.write_text(f"image\n{picture}\n")
    assert np.array_equal(read_table(table, KINDS)[0]["image"], RED)


def test_a_byte_order_mark_and_foreign_line_ends_do_no_harm(table: Path):
    table.write_bytes("\ufefftext\r\nrühr-ei\r\nsoup\r\n".encode())
    assert read_table(table, KINDS) == [{"text": "rühr-ei"}, {"text": "soup"}]


def test_a_table_without_rows_has_no_samples(table: Path):
    table.write_text("text\n")
    assert read_table(table, KINDS) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", r"has the columns nothing; expected at least one of image, text, readings"),
        (b"title,photo\nsoup,red.png\n", r"has the columns title, photo; expected at least one of"),
        (b"Text\nsoup\n", r"has the columns Text; expected at least one of"),
        (b"text,image\nsoup,\n,\n", r"row 2: every one of image, text is empty"),
        (b"text,image\n ,\t\n", r"row 1: every one of image, text is empty"),
        (b"readings\n1 2\n1 two\n", r"row 2: readings are '1 two', expected numbers separated by spaces"),
        (b"readings\n1;2\n", r"row 1: readings are '1;2', expected numbers"),
        (b"readings\n1 nan\n", r"row 1: readings are '1 nan', expected finite numbers"),
        (b"image\nnone.png\n", r"there is no image .*none\.png"),
        (b"text\ns\xff\xfeoup\n", r"cannot read .*samples\.csv as a CSV file in UTF-8"),
        (b'text\n"soup\n', r"cannot read .*samples\.csv as a CSV file"),
        (b'text\n"soup" or bread\n', r"cannot read .*samples\.csv as a CSV file"),
    ],
    ids=lambda value: value.decode(errors="replace").replace("\n", "|") if isinstance(value, bytes) else "",
)
def test_a_table_that_is_not_what_it_should_be_gives_one_clear_error(content: bytes, problem: str, table: Path):
    table.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_table(table, KINDS)


def test_a_broken_image_in_a_table_is_named(table: Path):
    (table.parent / "empty.jpg").touch()
    table.write_text("image\nempty.jpg\n")
    with pytest.raises(InputError, match=r"cannot read .*empty\.jpg as an image"):
        read_table(table, KINDS)


def test_a_table_that_is_not_there_is_named(table: Path):
    with pytest.raises(InputError, match=r"there is no file .*samples\.csv"):
        read_table(table, KINDS)


def test_a_folder_is_no_table(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read"):
        read_table(tmp_path, KINDS)
