"""EfficientNet-Lite0: the map of the reference implementation, from weights that are the published ones."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.efficientnet_lite import EfficientNetLite, EfficientNetLite0, _Convolution, _pixels
from fedprime.backbones.small_weights import efficientnet_file, lacking_weights
from fedprime.reproducibility.seeding import stream, torch_stream

IMAGE = stream(0, "photo").integers(0, 256, size=(224, 224, 3), dtype=np.uint8)
needs_weights = pytest.mark.skipif(bool(lacking_weights(("image",))), reason="make encoders")


@needs_weights
@pytest.mark.skipif(find_spec("efficientnet_lite_pytorch") is None, reason="efficientnet-lite-pytorch is not installed")
def test_its_map_is_that_of_the_reference_implementation() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    with torch.random.fork_rng():
        reference = EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(torch.load(efficientnet_file(), weights_only=True))
    pixels = (torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float() - 127) / 128
    with torch.no_grad():
        [expected] = reference.eval().extract_features(pixels)
        [found] = EfficientNetLite.from_pretrained(efficientnet_file()).encode([IMAGE])
    assert expected.shape == (1280, 7, 7)
    assert torch.allclose(found, expected.flatten(1).T, atol=1e-4)


@needs_weights
def test_the_published_weights_are_known_before_they_are_read() -> None:
    published = EfficientNetLite.from_pretrained(efficientnet_file())
    assert "network" not in vars(published)
    assert published.fingerprint == EfficientNetLite(torch.load(efficientnet_file(), weights_only=True)).fingerprint


@needs_weights
def test_folded_normalisation_changes_nothing_but_rounding() -> None:
    encoder = EfficientNetLite.from_pretrained(efficientnet_file())
    with torch.no_grad():
        [found] = encoder.encode([IMAGE])
        [expected] = encoder.network(_pixels(IMAGE)[None])
    assert torch.allclose(found, expected.flatten(1).T, atol=1e-4)


def test_each_stage_tells_the_mean_of_its_last_block() -> None:
    network = EfficientNetLite(random_weights()).network
    means: list[torch.Tensor] = []
    for last in (0, 2, 4, 7, 10, 14, 15):  # 1, 2, 2, 3, 3, 4, 1 blocks
        network._blocks[last].register_forward_hook(lambda _, __, made: means.append(made.mean(dim=(2, 3))))
    last_map, stages = network.with_stages(torch.randn(2, 3, 64, 64, generator=torch_stream(0, "pixels")))
    assert last_map.shape == (2, 1280, 2, 2)
    assert [own.shape[1] for own in means] == [16, 24, 40, 80, 112, 192, 320]
    assert torch.equal(stages, torch.cat(means, dim=1))


def test_all_of_an_image_is_seen_whatever_its_shape() -> None:
    image = np.zeros((90, 300, 3), dtype=np.uint8)
    image[:45, :150], image[45:, 150:] = (255, 0, 0), (0, 255, 0)
    pixels = _pixels(image) * 128 + 127
    assert pixels.shape == (3, 224, 224)
    corners = [pixels[:, row, column].round().int().tolist() for row in (0, -1) for column in (0, -1)]
    assert corners == [[255, 0, 0], [0, 0, 0], [0, 0, 0], [0, 255, 0]]


def test_padding_is_that_of_tensorflow_where_it_is_odd() -> None:
    # Of 4 columns, a kernel of 3 at a stride of 2 lacks one, which is added at the end.
    stem = _Convolution(3, 32, kernel=3, stride=2)
    stem.weight.data = torch.ones_like(stem.weight)
    ramp = torch.arange(4.0).expand(1, 3, 4, 4)
    assert stem(ramp)[0, 0].tolist() == [[27.0, 45.0], [18.0, 30.0]]


def random_weights() -> dict[str, torch.Tensor]:
    rng = torch_stream(0, "weights")
    shapes = EfficientNetLite0().state_dict()
    return {
        name: torch.rand(value.shape, generator=rng)
        if value.is_floating_point()
        else torch.zeros(value.shape, dtype=value.dtype)
        for name, value in shapes.items()
    }


def test_what_is_saved_is_read_again_as_the_same(tmp_path: Path) -> None:
    encoder = EfficientNetLite(random_weights())
    encoder.save(tmp_path)
    assert EfficientNetLite.from_pretrained(tmp_path).fingerprint == encoder.fingerprint
    assert "Apache License" in (tmp_path / "NOTICE").read_text()


def test_a_file_that_is_not_the_published_one_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"_conv_stem.weight": torch.zeros(1)}, file)
    with pytest.raises(BackboneError, match=r"its SHA-256 is \w{64}, that of the published weights is 5793442"):
        EfficientNetLite.from_pretrained(file)
    with pytest.raises(BackboneError, match="No such file"):
        EfficientNetLite.from_pretrained(tmp_path / "absent.pth")


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    weights = random_weights()
    del weights["_conv_stem.weight"]
    from safetensors.torch import save_file

    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BackboneError) as caught:
        EfficientNetLite.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["soup.jpg", np.zeros((0, 5, 3), dtype=np.uint8)])
def test_what_is_no_image_is_refused(value: object) -> None:
    with pytest.raises(BackboneError, match="image"):
        EfficientNetLite(random_weights()).encode([value])
