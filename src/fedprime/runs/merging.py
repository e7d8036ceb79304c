"""Federation by files: saved models of sites become one, without a server and without a round.

Sums in the models' files make the head in closed form, the same as from all samples in one place; prompts are aligned;
everything else is averaged, each model weighted by its samples. Models are read one after the other: what is kept of
each are prompts that are to be aligned.

Source: see docs/merge.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedprime.backbones.backbone import Backbone
from fedprime.experiment.run_folder import RunFolder
from fedprime.methods.aggregation.joined_models import JoinedModels, Joining
from fedprime.models.model_folder import STATISTICS, ModelError, read_config
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.statistics import Statistics, digest_of
from fedprime.reproducibility.errors import counted


@dataclass(frozen=True)
class Merged:
    """What came of merging.

    Attributes:
        folder: Where it is saved.
        num_samples: Training samples of all models; None where some model does not tell.
        notes: What whoever merges should know, a line each.
    """

    model: PromptedModel
    folder: Path
    num_samples: int | None
    notes: tuple[str, ...]


def merge_models(
    folders: Sequence[str | Path],
    output: str | Path,
    *,
    prompts: Joining = "align",
    backbone: Backbone | None = None,
    seed: int = 0,
) -> Merged:
    """Merges saved models of sites and saves the result as one.

    Args:
        folders: At least two folders of saved models, or of finished runs.
        prompts: Whether prompts are matched by what they are, or by position.
        seed: Of the alignment's initial networks.

    Raises:
        ModelError: If a folder holds no model, a broken one, or one that does not go with the others; or if there is
            something at `output` already.
        BackboneError: If the backbone cannot be loaded.
    """
    output = Path(output)
    if output.exists():
        raise ModelError(f"{output} exists already and is not overwritten; name another folder with --output")
    paths = _model_folders(folders)
    label_names = _agreed_label_names(paths)
    silent = [path for path in paths if not (path / STATISTICS).is_file()]
    joined = JoinedModels(label_names, prompts, counts_alike=bool(silent))
    origins: dict[bytes, Path] = {}
    for path in paths:
        model = PromptedModel.from_pretrained(path, backbone)
        backbone = model.backbone
        statistics = Statistics.load(path, model)
        own = frozenset({digest_of(path)}) if statistics is None or not statistics.origins else statistics.origins
        twice = [origins[digest] for digest in own if digest in origins]
        if twice:
            raise ModelError(f"{path} and {twice[0]} hold the same samples, which would count twice; leave one out")
        origins |= dict.fromkeys(own, path)
        joined.add(path, model, None if statistics is None else replace(statistics, origins=own))
    model, statistics = joined.finished(seed)
    model.save_pretrained(output, None if statistics is None else statistics.weights())
    num_samples = None if statistics is None else int(statistics.sums.num_samples)
    notes = _notes_on_silence(silent, len(paths)) + joined.notes
    return Merged(model, output, num_samples, notes)


def _model_folders(folders: Sequence[str | Path]) -> list[Path]:
    """Returns where the models are: a finished run has one inside."""
    if len(folders) < 2:
        raise ModelError(f"{counted(len(folders), 'model')} to merge; name at least two folders")
    paths: dict[Path, Path] = {}  # by where they really are
    for folder in map(Path, folders):
        path = folder
        if (folder / "settings.toml").exists():
            RunFolder(folder).results()  # says so if the run is not finished
            path = RunFolder(folder).model_path
            if not path.exists():
                raise ModelError(f"the clients of {folder} share no model; name those of clients: {folder}/clients/0")
        if path.resolve() in paths:
            raise ModelError(f"{folder} is named twice; name each model once")
        paths[path.resolve()] = path
    return list(paths.values())


def _agreed_label_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Returns the labels of all models, in the order in which they are first named, if all else agrees."""
    first: dict[str, Any] = {}
    label_names: dict[str, None] = {}
    for path in paths:
        config = read_config(path)
        try:
            own, facts = config["label_names"], _facts(config)
            label_names |= dict.fromkeys(own)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path / 'config.json'} is broken ({error!r}); take another copy") from error
        first = first or facts
        for name, expected in first.items():
            if facts[name] != expected:
                raise ModelError(
                    f"{path} has {name} {facts[name]}, {paths[0]} has {expected}; only models that agree in it can be "
                    "merged: train one of them again, or leave it out"
                )
    return tuple(label_names)


def _facts(config: dict[str, Any]) -> dict[str, Any]:
    """Returns by name what models have to agree in."""
    saved, prompter = config["backbone"], config["prompter"]
    places = {"reference", "found_at", "fingerprint"}
    sizes = {"pools"} | ({"num_prompts"} if prompter["kind"] == "all" else set())
    return {
        "the backbone": saved["fingerprint"],
        "modalities": tuple(saved["modalities"]),
        "backbone options": {name: saved[name] for name in sorted(saved.keys() - places)},
        "the task": config["task"],
        "the head": config.get("head", "pooled"),
        "the readout": config.get("readout", "summary"),
        "the layer that prompts enter before": config.get("prompt_layer", 0),
        "prompts of kind": prompter["kind"],
        "pools": tuple(prompter["options"].get("pools", ())),
        "prompter options": {name: value for name, value in prompter["options"].items() if name not in sizes},
    }


def _notes_on_silence(silent: Sequence[Path], num_models: int) -> tuple[str, ...]:
    if not silent:
        return ()
    which = f"{silent[0]}{' and others' if len(silent) > 1 else ''}"
    found = f"{len(silent)} of {num_models} models carry no {STATISTICS} ({which})"
    return (f"{found}: all count alike, and their heads are averaged",)
