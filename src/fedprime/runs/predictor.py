"""A classifier with the conventions of scikit-learn, trained by a federation within a data frame."""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from fedprime.backbones.backbone import Backbone
from fedprime.data.images import InputError
from fedprime.data.sets.table.frames import frame_columns, frame_part, named_cells
from fedprime.data.sets.table.labels import read_known_labels
from fedprime.data.sets.table.rows import unlabelled_rows
from fedprime.data.sets.table.table import table_of
from fedprime.methods.method import Method
from fedprime.models.evaluation import Scores
from fedprime.models.model_folder import STATISTICS, ModelError, find_model, refuse_changed
from fedprime.models.prediction import predict_samples, with_prior
from fedprime.models.priors import Prior, check_prior
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.statistics import read_statistics
from fedprime.reproducibility.errors import nearest_name
from fedprime.runs.callbacks import ProgressLine
from fedprime.runs.estimator import (
    Estimator,
    arguments_named,
    flags_of,
    label_cells,
    listed,
    not_fitted,
    own_object,
    scores_of,
    tell_unread_numbers,
    with_labels,
)
from fedprime.runs.run import start_run
from fedprime.runs.saved_predictor import PREDICTOR, as_classes, as_json, predictor_text, read_known
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings

_AT_ONCE = 64  # rows in memory
_FRAME = "the frame"
_RECIPE = "table/folder"  # a frame is trained on as the same rows in a folder are


class FederatedPredictor(Estimator):
    """Predicts the label of the rows of a frame: photos, texts, sounds and numbers, of which any may be missing.

    A frame is a data frame of pandas, polars or Arrow, a mapping of columns, or a list of mappings. Cells are paths,
    images of PIL, arrays, texts, numbers, or holes: None and NaN. What is missing of a row is missing, and nothing else
    is taken away unless `settings` say so (``missing.rate``).

    Attributes:
        classes_: The labels as they stood in the frame, sorted, in the order of probabilities.
        model_: What was trained.
        results_: The final table of the run.
        columns_: Which columns were read as what.
    """

    def __init__(
        self,
        *,
        label: str | Sequence[str] = "",
        client: str = "",
        columns: Sequence[str] = (),
        method: str | Method = "fedprime",
        rounds: int = 20,
        backbone: str | Path | Backbone = "auto",
        seed: int = 0,
        settings: Sequence[str] = (),
    ) -> None:
        """Keeps what is given.

        Args:
            label: The column of classes, or several with yes or no; empty for one called label, class or target.
            client: The column that says whose a row is; empty for one called client or site. Without any, rows are
                divided among clients as the settings of partition say.
            columns: Which column is what, as ``("image=photo", "text=title+note", "vitals:table=age+weight")``; none
                means to find images, texts and sounds, or all numbers and categories where there is nothing else.
            method: The federated method, by name or one's own.
            backbone: The frozen model, by name or one's own.
            settings: More of them, as on the command line: ``("--training.lr", "0.1")``.
        """
        self.label = label
        self.client = client
        self.columns = columns
        self.method = method
        self.rounds = rounds
        self.backbone = backbone
        self.seed = seed
        self.settings = settings

    @arguments_named()
    def fit(
        self, frame: object, y: object = None, *, files: str | Path = "", folder: str | Path | None = None
    ) -> "FederatedPredictor":
        """Trains on a frame, some of whose rows are set apart to choose and to measure (those of its column split).

        Args:
            frame: The rows.
            y: Their labels, if no column has them.
            files: The folder that paths in cells are relative to.
            folder: Of the run, to be kept; none means a temporary one.

        Raises:
            InputError: If a cell cannot be used; the message names its row.
            DataError: If frame, columns or labels are not what they should be.
            SettingsError: If settings do not fit together or to the frame.
            BackboneError: If the backbone cannot be loaded.
            RunError: If there is something at `folder`.
            ModelError: If the method leaves no model that clients share.
        """
        frame = with_labels(frame, y, self.label)
        data = self._settings(0).data
        source = table_of([frame_part(frame, Path(files))], _FRAME, data)
        tell_unread_numbers(source, data.client)
        settings = self._settings(len(source.site_names))
        with tempfile.TemporaryDirectory(prefix="fedprime-") as temporary:
            run = Path(temporary) / "run" if folder is None else Path(folder)
            own = {"source": source, "backbone": own_object(self.backbone), "method": own_object(self.method)}
            self.results_ = start_run(settings, run, **own, callbacks=[ProgressLine()])
            if not (run / "model").exists():
                raise ModelError(f"{settings.method.name} leaves each client a model, and none that all share")
            self.model_ = PromptedModel.from_pretrained(run / "model", own_object(self.backbone), settings.device)
            self._statistics = read_statistics(run / "model")
        self.columns_, self.label_columns_ = tuple(str(own) for own in source.columns), source.label_columns
        self._forms, self._several, self._files = source.forms, data.several_labels, Path(files)
        known = [] if source.task == "several_labels" else frame_columns(frame)[source.label_columns[0]]
        self._name_classes(named_cells(known, source.label_names))
        return self

    def predict(
        self,
        frame: object,
        *,
        without: Sequence[str] = (),
        files: str | Path | None = None,
        prior: Prior = "train",
    ) -> np.ndarray:
        """Returns the likeliest class of each row; of several labels, 1 where one is more probable than not.

        Args:
            frame: The rows; labels are not needed, nor any column.
            without: Modalities that are not looked at.
            files: The folder that paths in cells are relative to; as in training, if not given.
            prior: Label frequencies to expect, as `predict_samples` takes them.

        Raises:
            InputError: If a cell cannot be used, or nothing of a row is there; the message names it.
            DataError: If it is no frame, or has none of the columns.
            PriorError: If the prior cannot be used.
            ModelError: If nothing was trained yet.
        """
        probabilities = self.predict_proba(frame, without=without, files=files, prior=prior)
        if self.model_.task == "several_labels":
            return (probabilities > 0.5).astype(np.int64)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(
        self,
        frame: object,
        *,
        without: Sequence[str] = (),
        files: str | Path | None = None,
        prior: Prior = "train",
    ) -> Float[np.ndarray, "row label"]:
        """Returns the probability of each class or label, in the order of `classes_`; see `predict`."""
        return self._probabilities(frame, without, files, prior)[:, self._order]

    @arguments_named()
    def _probabilities(
        self, frame: object, without: Sequence[str], files: str | Path | None, prior: Prior
    ) -> Float[np.ndarray, "row label"]:
        """Returns them in the order of the model."""
        model = self._fitted()
        kinds = model.backbone.kinds
        check_prior(prior)
        without = listed(without)
        for name in without:
            if name not in kinds:
                raise InputError(f"without: the model reads {', '.join(kinds)}; not {name}{nearest_name(name, kinds)}")
        part = frame_part(frame, self._files if files is None else Path(files))
        about = model.about | {"forms": self._forms}
        rows = iter(unlabelled_rows([part], _FRAME, self.columns_, kinds, self.label_columns_, about=about))
        found: list[dict[str, Any]] = []
        while chunk := list(itertools.islice(rows, _AT_ONCE)):
            samples = [{name: own for name, own in values.items() if name not in without} for _, values in chunk]
            told = iter(predict_samples(model, [own for own in samples if own]))
            for own in samples:
                found.append(next(told) if own else {"present": []})
                if not found[-1]["present"]:
                    left = f" without {', '.join(without)}" if without else ""
                    raise InputError(f"row {len(found)}: nothing can be used{left}; expected one of {', '.join(kinds)}")
        if isinstance(prior, Mapping):  # by classes as they stood in the frame
            names = dict(zip(self._classes, model.label_names, strict=True))
            prior = {names.get(label, str(label)): own for label, own in prior.items()}
        found = found if prior == "train" else with_prior(model, found, prior)
        return np.array([list(own["probabilities"].values()) for own in found]).reshape(-1, len(model.label_names))

    def evaluate(
        self,
        frame: object,
        y: object = None,
        *,
        without: Sequence[str] = (),
        files: str | Path | None = None,
        prior: Prior = "train",
    ) -> Scores:
        """Returns how good predictions are on rows whose labels are known; see `fit` and `predict`."""
        frame = with_labels(frame, y, self.label)
        names = self._fitted().label_names
        known = label_cells(frame, self.label_columns_)
        labels = read_known_labels([frame_part(known)], self.label_columns_, names, several_labels=self._several)
        return scores_of(self._probabilities(frame, without, files, prior), labels)

    def score(self, frame: object, y: object = None) -> float:
        """Returns the accuracy, as scikit-learn asks for it."""
        return self.evaluate(frame, y).accuracy

    def save(self, folder: str | Path, *, standalone: bool = False) -> None:
        """Writes a saved model, with what is known of the columns beside it; ``fedprime predict`` reads it too.

        Args:
            standalone: Whether the backbone is copied in.

        Raises:
            ModelError: If nothing was trained yet, or there is something else at `folder`.
            BackboneError: If the backbone cannot be copied.
        """
        texts = {PREDICTOR: self._said(given=True)}
        self._fitted().save_pretrained(folder, self._statistics, texts, standalone=standalone)

    def push_to_hub(self, name: str, *, private: bool = False, message: str = "Save a predictor of fedprime") -> str:
        """Saves to the hub, and returns the address; `load` takes the name.

        Statistics of training samples, scores of single clients and what the constructor was given are not sent.

        Args:
            name: ``owner/name``; made if it is not there.
            private: Whether a repository that is made is private.

        Raises:
            ModelError: If nothing was trained yet.
            HubError: If the hub cannot be reached, or does not let this person.
        """
        texts = {PREDICTOR: self._said(given=False)}
        return self._fitted().push_to_hub(name, private=private, message=message, texts=texts)

    @classmethod
    @arguments_named()
    def load(
        cls, folder: str | Path, backbone: Backbone | str | Path | None = None, device: str = "auto"
    ) -> "FederatedPredictor":
        """Returns what `save` wrote or `push_to_hub` sent, or a predictor around any model of a table.

        Args:
            folder: Of a saved predictor or model, or of a finished run; or a name on the hub.
            backbone: The frozen model, where it was one's own, or where it lies now.
            device: Where it runs, if it is not given.

        Raises:
            ModelError: If there is none, it is broken, or it was not trained on a table.
        """
        folder = find_model(folder)
        model = PromptedModel.from_pretrained(folder, backbone, device)
        refuse_changed(folder, PREDICTOR, STATISTICS)
        known = read_known(folder, model)
        try:
            predictor = cls(**known["parameters"])
            predictor.columns_, predictor.label_columns_ = tuple(known["columns"]), tuple(known["label"])
            predictor._forms, predictor._several = known["forms"], known["several_labels"]
            predictor.results_, predictor.model_ = known["results"], model
            predictor._name_classes(known["classes"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder / PREDICTOR} is broken ({error!r}); save the predictor again") from error
        predictor._statistics, predictor._files = read_statistics(folder), Path()
        if backbone is not None:
            predictor.backbone = str(backbone) if isinstance(backbone, Path) else backbone
        return predictor

    def _fitted(self) -> PromptedModel:
        if not hasattr(self, "model_"):
            raise not_fitted()
        return self.model_

    def _name_classes(self, classes: Sequence[object]) -> None:
        self._classes = list(classes)
        self.classes_, self._order = as_classes(classes, is_sorted=self.model_.task == "one_class")

    def _said(self, *, given: bool) -> str:
        names = self._fitted().label_names
        known = {"columns": self.columns_, "label": self.label_columns_, "several_labels": self._several}
        known |= {"forms": self._forms, "classes": as_json(self._classes, names)}
        return predictor_text(known | ({"parameters": self.get_params(), "results": self.results_} if given else {}))

    def _settings(self, num_sites: int) -> Settings:
        return read_settings(_RECIPE, flags_of(self.get_params(), num_sites))
