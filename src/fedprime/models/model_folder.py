"""The folder of a saved model: which files it has, what is checked of them, and where it is that somebody names."""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fedprime.models.hub import HubError, download_model, may_be_hub_name
from fedprime.models.model_card import CARD, is_untouched, model_card
from fedprime.models.model_config import config_problem
from fedprime.reproducibility.atomic_files import replaced_file, write_whole
from fedprime.reproducibility.digests import digest_of_file, digest_of_json, digest_of_values
from fedprime.reproducibility.errors import FedprimeError
from fedprime.reproducibility.strict_json import JsonError, parse_json

_logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
_CONFIG = "config.json"
#: The file of a saved model that tells of the samples behind it (`fedprime.models.statistics`); it may not be there.
STATISTICS = "statistics.safetensors"
#: Files beside a model, by what ``config.json`` calls their digests: the predictor is what `fedprime.runs.predictor`
#: knows of a frame.
_BESIDE = {"statistics_sha256": STATISTICS, "predictor_sha256": "predictor.json"}
#: All that a saved model may have.
_FILES = {_CONFIG, WEIGHTS, CARD, *_BESIDE.values(), "backbone", ".gitattributes"}

_FORMAT = 1
_DIGEST = "sha256"  # of values and configuration; card and files beside may be taken away


class ModelError(FedprimeError):
    """Weights or a saved model that do not fit."""


def find_model(place: str | Path) -> Path:
    """Returns the folder of a saved model.

    Args:
        place: That folder, or of a finished run, whose shared model is meant, or the name of a model on the hub
            (``owner/name``), which is downloaded once.

    Raises:
        ModelError: If a run has no shared model, or the hub has no such model or cannot be reached.
    """
    folder = Path(place)
    if may_be_hub_name(str(place)):
        try:
            return download_model(str(place))
        except HubError as error:
            raise ModelError(f"{place} is no folder here, and not to be had from the hub: {error}") from error
    if not (folder / "settings.toml").is_file():
        return folder
    if not (folder / "model").is_dir():
        clients = f"; {folder}/clients/0 is that of a client" if (folder / "clients").is_dir() else ""
        raise ModelError(f"the run {folder} has no shared model: it is not finished, or clients share none{clients}")
    return folder / "model"


def refuse_others(folder: Path) -> None:
    """Raises a `ModelError` if there is what would be lost by saving a model there: anything else, or that of a run."""
    for run, _ in _vouching(folder):
        raise ModelError(f"{folder} is the model of the finished run {run}, and would be replaced; name another folder")
    found = folder.iterdir() if folder.is_dir() else [folder] if folder.exists() else []
    others = sorted({path.name for path in found} - _FILES)
    if others:
        raise ModelError(
            f"{folder} is no saved model: replacing it would delete {', '.join(others[:3])}; name another folder"
        )


def read_config(folder: Path) -> dict[str, Any]:
    """Returns what a saved model says of itself in its ``config.json``; what it names is not looked for.

    Raises:
        ModelError: If the folder holds no model, or one of another format.
    """
    for name in (_CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            missing = f"{name} is not there" if folder.is_dir() else "there is no such folder"
            raise ModelError(
                f"{folder} is not a saved model: {missing}; name the folder of a finished run or of a model"
            )
    _refuse_another(folder)
    try:
        config = parse_json((folder / _CONFIG).read_bytes())
    except JsonError as error:
        raise broken(folder, error) from error
    found = config.get("format") if isinstance(config, dict) else None
    if found != _FORMAT:
        raise ModelError(f"the model in {folder} has format {found!r}; this fedprime reads format {_FORMAT}")
    problem = config_problem(config)
    if problem:
        raise broken(folder, ValueError(problem))
    return config


def _refuse_another(folder: Path) -> None:
    """Raises a `ModelError` if a model that lies in a finished run is not the one that the run saved."""
    for run, expected in _vouching(folder):
        if expected != digest_of_file(folder / _CONFIG):
            raise ModelError(
                f"{folder} is not the model that the run {run} saved; put that back from a copy, or move this one "
                "out of the run's folder to use it"
            )


def _vouching(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yields the finished run, if there is one, of which this folder is to be a model, and the digest of that model."""
    config = folder.absolute() / _CONFIG
    for run in config.parents[1:3]:  # that of a client lies in clients/0
        checksums = run / "checksums.json"
        if checksums.is_file() and (run / "results.json").is_file():
            try:
                yield run, parse_json(checksums.read_bytes())[config.relative_to(run).as_posix()]
            except (JsonError, TypeError) as error:
                raise ModelError(f"{checksums} is broken ({error}); restore it from a copy") from error
            except KeyError:
                continue  # earlier versions did not say


def load_saved(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns what a saved model says of itself, and its values.

    Raises:
        ModelError: If there is none, it is not as it was saved, or has values that are no numbers.
    """
    config = read_config(folder)
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise broken(folder, error) from error
    expected = config.get(_DIGEST)  # earlier versions did not say
    if expected is not None and expected != _digest(config, weights):
        raise broken(folder, ValueError("it was changed since it was saved"))
    wrong = sorted(name for name, value in weights.items() if not value.isfinite().all())
    if wrong:
        raise broken(folder, ValueError(f"{', '.join(wrong[:3])} has values that are not finite"))
    return config, weights


def refuse_changed(folder: Path, *names: str) -> None:
    """Raises a `ModelError` if a file beside a saved model is not what was saved with it, as far as that is known."""
    config = read_config(folder)  # earlier versions do not say
    for digest, name in _BESIDE.items():
        path = folder / name
        if name in names and path.is_file() and config.get(digest) not in (None, digest_of_file(path)):
            raise ModelError(f"{path} is not what was saved with this model; take another copy, or leave it out")


def keep_card(before: Path, folder: Path) -> None:
    """Copies a model card that a person has edited to where a model is saved in the place of another.

    Args:
        before: The folder of the other, which may not be there.
    """
    card = before / CARD
    if card.is_file() and not _is_untouched(card):
        shutil.copyfile(card, folder / CARD)
        _logger.warning("%s was edited, and is kept; delete it to have a new one", card)


def write_config_and_card(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Writes ``config.json`` and the model card, unless there is a card that a person has edited.

    Args:
        folder: That of the model, whose values lie there already.
        config: Without its digest.
    """
    config = {name: value for name, value in config.items() if name not in _BESIDE}
    config |= {name: digest_of_file(folder / own) for name, own in _BESIDE.items() if (folder / own).is_file()}
    sealed = {**config, _DIGEST: _digest(config, weights)}
    write_whole(folder / _CONFIG, json.dumps(sealed, indent=2) + "\n")
    card = folder / CARD
    if not card.exists() or _is_untouched(card):
        with replaced_file(card) as beside:
            text = model_card(config, weights, tells_statistics=(folder / STATISTICS).is_file())
            beside.write_text(text, encoding="utf-8")


def _is_untouched(card: Path) -> bool:
    return is_untouched(card.read_text(encoding="utf-8", errors="surrogateescape"))


def describe_training(folder: Path, facts: Mapping[str, Any]) -> None:
    """Adds to a saved model what became known when it was measured, and writes its card anew.

    Args:
        facts: As `fedprime.models.model_card` tells them; plain values.

    Raises:
        ModelError: If there is none, or it is broken.
    """
    config, weights = load_saved(folder)
    about = {**config.get("about", {}), "training": dict(facts)}
    write_config_and_card(folder, {**config, "about": about}, weights)


def broken(folder: Path, error: Exception) -> ModelError:
    """Returns the error of a model that cannot be read."""
    return ModelError(f"the model in {folder} is broken ({error!r}); save it again or take another copy")


def _digest(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    return digest_of_values(weights, digest_of_json({name: value for name, value in config.items() if name != _DIGEST}))
