"""Image files of every kind become red, green and blue, or one clear error."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fedprime.data.images import VERSION, InputError, file_identity, read_image

RED = np.full((64, 64, 3), (200, 30, 30), dtype=np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.fromarray(RED).save(path)
    return path


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
    "content",
    [
        *(b"", b"GIF89a", b"not an image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 30, b"P6\nx y\n255\n"),
        *(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"<svg></svg>", b"version https://git-lfs.github.com/spec/v1\n"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",  # a program
    ],
)
def test_a_file_that_is_no_image_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*broken\.png as an image"):
        read_image(tmp_path / "broken.png")


@pytest.mark.parametrize("target", ["broken.png", "nowhere.png"])
def test_a_link_to_itself_or_to_nothing_is_no_image(target: str, tmp_path: Path):
    (tmp_path / "broken.png").symlink_to(tmp_path / target)
    with pytest.raises(InputError, match=r"(cannot read|there is no image) .*broken\.png"):
        read_image(tmp_path / "broken.png")


def test_a_folder_is_no_image(tmp_path: Path):
    with pytest.raises(InputError, match="is no file; name an image file"):
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


def test_a_long_text_in_an_image_file_is_passed_over(tmp_path: Path):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    Image.fromarray(RED).save(tmp_path / "talkative.png", pnginfo=info)
    assert (read_image(tmp_path / "talkative.png") == RED).all()


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


def test_what_a_file_gives_is_that_of_its_version(tmp_path: Path):
    Image.fromarray(np.array([[[255, 0, 0, 128], [0, 0, 9, 255]]], dtype=np.uint8)).save(tmp_path / "clear.png")
    Image.fromarray(np.array([[65_535, 257]], dtype=np.uint16)).save(tmp_path / "deep.png")
    found = [read_image(tmp_path / name).tolist() for name in ("clear.png", "deep.png")]
    # Half of red on white; a byte is a 257th.
    pinned = {1: [[[[255, 127, 127], [0, 0, 9]]], [[[255, 255, 255], [1, 1, 1]]]]}
    assert found == pinned[VERSION], "caches hold embeddings of other pixels: raise VERSION, and pin these to it"


# Which file it is


def test_a_file_is_another_one_when_it_was_changed_or_replaced_and_the_same_one_elsewhere(
    picture: Path, tmp_path: Path
):
    first = file_identity(picture)
    assert file_identity(picture) == first
    found = picture.stat()
    os.utime(picture, ns=(0, found.st_mtime_ns + 1))
    touched = file_identity(picture)
    picture.write_bytes(picture.read_bytes() + b"?")
    os.utime(picture, ns=(0, found.st_mtime_ns + 1))
    longer = file_identity(picture)
    moved = file_identity(picture.rename(tmp_path / "moved.png"))
    assert len({first, touched, longer}) == 3
    assert moved == longer
    replaced = tmp_path / "moved.png"
    replaced.write_bytes(replaced.read_bytes()[:-1] + b"!")
    os.utime(replaced, ns=(0, found.st_mtime_ns + 1))
    assert file_identity(replaced) != moved
    assert file_identity(picture) is None
