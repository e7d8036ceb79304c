"""Predictions from any subset of modalities, and inputs that are not what they should be."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.methods.fedprime import FedPrime
from fedprime.model import PromptedModel
from fedprime.prediction import InputError, predict_samples, read_image, read_table
from fedprime.seeding import torch_stream

LABELS = ("bread", "soup", "cake")
MODALITIES = ("image", "text", "readings")
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


def test_an_image_is_read_as_red_green_and_blue(picture: Path):
    assert np.array_equal(read_image(picture), RED)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_images_of_every_kind_become_red_green_and_blue(mode: str, tmp_path: Path):
    path = tmp_path / ("image.tiff" if mode in ("CMYK", "I;16") else "image.png")
    (Image.new(mode, (5, 3)) if mode == "I;16" else Image.fromarray(RED[:3, :5]).convert(mode)).save(path)
    image = read_image(path)
    assert (image.shape, image.dtype) == ((3, 5, 3), np.uint8)


def test_an_image_is_turned_upright(tmp_path: Path):
    left_green = np.zeros((4, 8, 3), dtype=np.uint8)
    left_green[:, :4, 1] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to see it upright
    Image.fromarray(left_green).save(tmp_path / "turned.png", exif=exif)
    image = read_image(tmp_path / "turned.png")
    assert image.shape == (8, 4, 3)
    assert image[0, 0].tolist() == [0, 255, 0]
    assert image[7, 0].tolist() == [0, 0, 0]


def test_an_image_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"there is no image .*none\.png"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"not an image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 30, b"P6\nx y\n255\n"]
)
def test_a_file_that_is_no_image_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*broken\.png as an image"):
        read_image(tmp_path / "broken.png")


def test_a_folder_is_no_image(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
@pytest.mark.filterwarnings("ignore")  # what the library finds odd but readable is none of our business
def test_an_image_cut_off_anywhere_gives_a_clear_error_or_is_read(ending: str, tmp_path: Path):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    num_refused = 0
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        try:
            assert read_image(path).shape == (40, 40, 3)
        except InputError:
            num_refused += 1
    assert num_refused > 20


@pytest.mark.filterwarnings("ignore")
def test_an_image_with_noise_in_it_gives_a_clear_error_or_is_read(tmp_path: Path):
    rng = np.random.default_rng(0)
    for ending in ("png", "jpg", "gif", "tiff", "webp"):
        path = tmp_path / f"image.{ending}"
        Image.fromarray(RED).save(path)
        whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(60):
            noisy = whole.copy()
            noisy[rng.integers(0, len(noisy), 4)] = rng.integers(0, 256, 4)
            path.write_bytes(noisy.tobytes())
            try:
                read_image(path)
            except InputError as error:
                assert str(path) in str(error)  # noqa: PT017


def test_an_image_of_implausible_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.fromarray(RED).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path / "huge.png")


def test_text_in_an_image_file_cannot_fill_the_memory(tmp_path: Path):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    Image.fromarray(RED).save(tmp_path / "talkative.png", pnginfo=info)
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path / "talkative.png")


def test_a_table_with_holes_gives_what_is_there(table: Path, picture: Path):
    table.write_text(
        "id,text,image,readings,note\n"
        f"1,tomato soup,{picture.name},0.5 -1e3,x\n"
        "2,,red.png,,\n"
        '3,"bread, and ""cake""",,,\n'
        "4, ,  ,1 2\n"
        "5,short\n"
    )
    rows = read_table(table, MODALITIES)
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
    assert read_table(table, ("image", "text")) == [{"text": "soup"}]


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
        read_table(table, ("image", "text"))


def test_spaces_after_commas_are_not_part_of_names_or_cells(table: Path):
    table.write_text("price, text\n3, soup\n")
    assert read_table(table, ("image", "text")) == [{"text": "soup"}]


def test_a_16_bit_picture_is_scaled_and_not_cut_off(tmp_path: Path):
    Image.fromarray(np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[:, :, 0].tolist() == [[0, 100], [200, 255]]


def test_transparent_parts_of_a_picture_are_white(tmp_path: Path):
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()


def test_a_picture_of_32_bit_numbers_is_refused(tmp_path: Path):
    Image.fromarray(np.zeros((2, 2), dtype=np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(InputError, match="32 bits"):
        read_image(tmp_path / "float.tiff")


def test_images_are_found_beside_the_table(table: Path, picture: Path, monkeypatch: pytest.MonkeyPatch):
    (table.parent / "elsewhere").mkdir()
    monkeypatch.chdir(table.parent / "elsewhere")
    table.write_text(f"image\n{picture.name}\n")
    assert np.array_equal(read_table(table, MODALITIES)[0]["image"], RED)


def test_a_full_path_in_a_table_is_taken_as_it_is(table: Path, picture: Path):
    table.write_text(f"image\n{picture}\n")
    assert np.array_equal(read_table(table, MODALITIES)[0]["image"], RED)


def test_a_byte_order_mark_and_foreign_line_ends_do_no_harm(table: Path):
    table.write_bytes("\ufefftext\r\nrühr-ei\r\nsoup\r\n".encode())
    assert read_table(table, MODALITIES) == [{"text": "rühr-ei"}, {"text": "soup"}]


def test_a_table_without_rows_has_no_samples(table: Path):
    table.write_text("text\n")
    assert read_table(table, MODALITIES) == []


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
        read_table(table, MODALITIES)


def test_a_broken_image_in_a_table_is_named(table: Path):
    (table.parent / "empty.jpg").touch()
    table.write_text("image\nempty.jpg\n")
    with pytest.raises(InputError, match=r"cannot read .*empty\.jpg as an image"):
        read_table(table, MODALITIES)


def test_a_table_that_is_not_there_is_named(table: Path):
    with pytest.raises(InputError, match=r"there is no file .*samples\.csv"):
        read_table(table, MODALITIES)


def test_a_folder_is_no_table(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read"):
        read_table(tmp_path, MODALITIES)
