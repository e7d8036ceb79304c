"""Objects of a person's own in the place of what settings name, and how a run knows them again."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedprime.backbones.backbone import Backbone
from fedprime.data.sources import IdentifiedSource, SampleSource
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.methods.method import Method
from fedprime.settings.problems import SettingsError
from fedprime.settings.settings import Settings

_NUM_IDENTITIES = 32


@dataclass(frozen=True)
class OwnObjects:
    """What is used instead of what settings name; None where settings are followed."""

    source: SampleSource | None = None
    backbone: Backbone | None = None
    method: Method | None = None

    def fingerprints(self) -> dict[str, str]:
        """Returns what tells each object from others, by what it is; it stands in the run's ``environment.json``."""
        found: dict[str, str] = {}
        if self.source is not None:
            found["source"] = f"{_class_name(self.source)} {source_fingerprint(self.source)}"
        if self.backbone is not None:
            found["backbone"] = f"{_class_name(self.backbone)} {self.backbone.fingerprint}"
        if self.method is not None:
            fields = {entry.name: getattr(self.method, entry.name) for entry in dataclasses.fields(self.method)}
            values = ", ".join(f"{name}={value!r}" for name, value in fields.items())
            found["method"] = f"{_class_name(self.method)}({values})"
        return found

    def refuse_other_places(self, settings: Settings) -> None:
        """Raises a `SettingsError` if clients live where these objects cannot go."""
        own = list(self.fingerprints())
        if own and settings.runtime.kind != "in-process":
            raise SettingsError(
                f"runtime.kind is {settings.runtime.kind}: clients in other processes know {' and '.join(own)} by "
                "name alone; set it to in-process, or install a package that registers them (entry points)"
            )

    def refuse_others(self, run: RunFolder) -> None:
        """Raises a `RunError` that says what was expected if a run began with other objects."""
        began, here = run.own_objects(), self.fingerprints()
        for part in ("source", "backbone", "method"):
            if began.get(part) == here.get(part):
                continue
            if part not in began:
                raise RunError(f"the run {run.path} began with the {part} of its settings; leave {part} out")
            found = f"found {here[part]}" if part in here else f"continue it from Python and give that as {part}"
            raise RunError(f"the run {run.path} began with a {part} of somebody's own, {began[part]}; {found}")


def source_fingerprint(source: SampleSource) -> str:
    """Returns what tells a data set from others: its own ``fingerprint``, if it has one.

    Else it is a digest of what is known of it without reading a sample: modalities, label names, labels, sites, what is
    there, splits and, where the data set can tell, the identities of 32 samples. Values that change behind the same
    identities go unnoticed: a data set whose files may change should have a ``fingerprint`` of its own.
    """
    own = getattr(source, "fingerprint", None)
    if isinstance(own, str) and own:
        return own
    digest = hashlib.sha256()
    facts: Mapping[str, object] = {
        "samples": len(source),
        "modalities": list(source.modalities),
        "task": source.task,
        "label names": list(source.label_names),
        "splits": {name: np.asarray(own).tolist() for name, own in sorted(source.splits.items())},
    }
    digest.update(json.dumps(facts).encode())
    for values in (source.labels, source.sites, source.there):
        digest.update(np.ascontiguousarray(values).tobytes())
    if isinstance(source, IdentifiedSource):
        for index in np.unique(np.linspace(0, len(source) - 1, _NUM_IDENTITIES).astype(int)).tolist():
            for modality in source.modalities:
                digest.update(f"{index} {modality} {source.identity(index, modality)}\n".encode())
    return digest.hexdigest()[:16]


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
