"""Linear models beside fedprime, on raw features of the same samples and on the frozen vectors that its head reads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from fedprime.backbones.backbone import Backbone
from fedprime.backbones.blocks import block_of
from fedprime.backbones.log_mel import NUM_PLACES, LogMel
from fedprime.data.batches import Shard
from fedprime.data.sets.table.table import Table

#: Of each modality a row per sample of the table, zeros where it is missing.
Features = Mapping[str, Float[np.ndarray, "sample feature"]]

_WORDS = 20_000  # TF-IDF features at most
_SIDE = 64  # pixels of an image's side, before its features are taken
_CELL = 8  # pixels of a cell's side, each cell with a histogram of gradients
_ANGLES = 9  # of gradients, without their sign
_LEVELS = 4  # of each colour in the histogram of colours
_PIECES = 8  # of a sound, each with the mean of its log-mel bands
_STRENGTHS = (1.0, 10.0, 100.0)  # of regularisation, inverse; chosen by the likelihood of validation labels
_NEVER = 1e-9  # probability of a class that no training sample has
_AT_ONCE = 64  # samples embedded together


def shapes_and_colours(image: np.ndarray) -> Float[np.ndarray, " feature"]:
    """Returns histograms of oriented gradients, normalised over blocks of 2 x 2 cells, and one histogram of colours.

    Source: Dalal and Triggs. Histograms of Oriented Gradients for Human Detection. CVPR 2005.
    """
    small = np.asarray(Image.fromarray(image).convert("RGB").resize((_SIDE, _SIDE)), dtype=float) / 255
    down, across = np.gradient(small.mean(axis=2))
    angle = (np.arctan2(down, across) % np.pi) / np.pi * _ANGLES
    cells = _SIDE // _CELL
    row, column = np.indices((_SIDE, _SIDE)) // _CELL
    place = (row * cells + column) * _ANGLES + angle.astype(int) % _ANGLES
    histograms = np.bincount(place.ravel(), np.hypot(down, across).ravel(), cells * cells * _ANGLES)
    histograms = histograms.reshape(cells, cells, _ANGLES)
    blocks = np.concatenate(
        [histograms[i : cells - 1 + i, j : cells - 1 + j] for i in range(2) for j in range(2)], axis=2
    )
    blocks /= np.sqrt((blocks**2).sum(axis=2, keepdims=True)) + 1e-3
    levels = np.minimum((small * _LEVELS).astype(int), _LEVELS - 1) @ [_LEVELS**2, _LEVELS, 1]
    colours = np.sqrt(np.bincount(levels.ravel(), minlength=_LEVELS**3) / levels.size)
    return np.concatenate([blocks.ravel(), colours])


def raw_features(table: Table, fitted_on: Sequence[int]) -> Features:
    """Returns shapes and colours of images, mean log-mel bands of pieces of sounds, TF-IDF of words, cells of rows.

    Args:
        fitted_on: The samples that words and means are taken from.
    """
    mel = LogMel(8000, 40, 1, 2.0)
    of_kind: dict[str, Callable[[Any], np.ndarray]] = {
        "image": shapes_and_colours,
        "audio": lambda sound: np.concatenate(
            [piece.mean(axis=0) for piece in np.array_split(mel.encode([sound])[0][:, :-NUM_PLACES].numpy(), _PIECES)]
        ),
    }
    features: dict[str, np.ndarray] = {}
    for column, own in enumerate(table.columns):
        known = _values(table, column)
        if own.kind == "text":
            train = [str(known[index]) for index in fitted_on if index in known]
            words = TfidfVectorizer(max_features=_WORDS, sublinear_tf=True).fit(train)
            features[own.modality] = words.transform([str(known.get(i, "")) for i in range(len(table))]).toarray()
            continue
        if own.kind == "table":
            cells = {i: {name: _compressed(row.get(name, 0.0)) for name in own.columns} for i, row in known.items()}
            columns = DictVectorizer(sparse=False).fit([cells[i] for i in fitted_on if i in cells])
            raw = dict(zip(cells, np.asarray(columns.transform(list(cells.values()))), strict=True))
        else:
            raw = {index: of_kind[own.kind](value) for index, value in known.items()}
        features[own.modality] = _standardised(raw, len(table), fitted_on)
    return features


def frozen_features(table: Table, backbone: Backbone, fitted_on: Sequence[int]) -> Features:
    """Returns the frozen vectors that a head of fedprime's reads, standardised like raw features.

    Args:
        fitted_on: The samples that means are taken from.
    """
    features: dict[str, np.ndarray] = {}
    for column, own in enumerate(table.columns):
        known = list(_values(table, column).items())
        blocks: dict[int, np.ndarray] = {}
        for start in range(0, len(known), _AT_ONCE):
            chunk = known[start : start + _AT_ONCE]
            embedded = backbone.embed(own.modality, [value for _, value in chunk])
            rows = block_of(backbone, own.modality, embedded).double().numpy()
            blocks |= dict(zip((index for index, _ in chunk), rows, strict=True))
        features[own.modality] = _standardised(blocks, len(table), fitted_on)
    return features


def linear_accuracies(
    table: Table,
    features: Features,
    shards: Sequence[Shard],
    validation: Shard,
    scenarios: Mapping[str, Shard],
    *,
    title: str = "linear",
) -> dict[str, dict[str, float]]:
    """Returns by linear model (jointly, of each modality, and of what these say together) its accuracy by scenario.

    Args:
        features: As from `raw_features` or `frozen_features`.
        shards: What the clients hold, and what is present of it.
        validation: The samples that regularisation and the weights of the modalities are chosen on.
        scenarios: The test samples, likewise.
        title: What the names of the models begin with.
    """
    train = Shard.joined(shards)
    modalities = table.modalities
    num_classes = len(table.label_names)
    counts = np.bincount(table.labels[train.indices], minlength=num_classes)
    prior = np.log(np.maximum(counts / counts.sum(), _NEVER))

    def block(own: Shard, names: Sequence[str]) -> np.ndarray:
        parts = [features[name][own.indices] * own.present[:, [modalities.index(name)]] for name in names]
        return np.concatenate(parts, axis=1)

    def told(model: LogisticRegression, own: Shard, names: Sequence[str]) -> Float[np.ndarray, "sample class"]:
        scores = np.full((len(own), num_classes), np.log(_NEVER))
        scores[:, model.classes_] = model.predict_log_proba(block(own, names))
        return scores

    def fitted(names: Sequence[str]) -> LogisticRegression:
        def having(own: Shard) -> np.ndarray:
            return np.flatnonzero(own.present[:, [modalities.index(name) for name in names]].sum(axis=1))

        rows, judges = having(train), having(validation)
        x, y = block(train, names)[rows], table.labels[train.indices][rows]
        return max(
            (LogisticRegression(C=strength, max_iter=2000).fit(x, y) for strength in _STRENGTHS),
            key=lambda model: (
                -_cross_entropy(told(model, validation, names)[judges], table.labels[validation.indices][judges])
            ),
        )

    def accuracy(scores: Float[np.ndarray, "sample class"], own: Shard) -> float:
        return float(np.mean(scores.argmax(axis=1) == table.labels[own.indices]))

    single = {name: fitted((name,)) for name in modalities}

    def evidence(own: Shard) -> Float[np.ndarray, "modality sample class"]:
        found = [told(model, own, (name,)) - prior for name, model in single.items()]
        return np.stack([own.present[:, [column]] * scores for column, scores in enumerate(found)])

    of_validation = evidence(validation)
    weights = minimize(
        lambda weights: _cross_entropy(
            np.tensordot(weights, of_validation, 1) + prior, table.labels[validation.indices]
        ),
        np.full(len(single), 0.5),
        bounds=[(0.0, None)] * len(single),
    ).x
    jointly = fitted(modalities)
    return {
        f"{title}, jointly": {name: accuracy(told(jointly, own, modalities), own) for name, own in scenarios.items()},
        **{
            f"{title}, {modality}": {
                name: accuracy(np.where(own.present[:, [column]], told(model, own, (modality,)), prior), own)
                for name, own in scenarios.items()
            }
            for column, (modality, model) in enumerate(single.items())
        },
        f"{title}, calibrated sum": {
            name: accuracy(np.tensordot(weights, evidence(own), 1) + prior, own) for name, own in scenarios.items()
        },
    }


def _cross_entropy(scores: Float[np.ndarray, "sample class"], labels: np.ndarray) -> float:
    return float((logsumexp(scores, axis=1) - scores[np.arange(len(scores)), labels]).mean())


def _compressed(cell: Any) -> Any:
    """Returns the logarithm of one plus a number; a word is a feature of its own."""
    return cell if isinstance(cell, str) else np.log1p(cell)


def _values(table: Table, column: int) -> dict[int, Any]:
    own = table.columns[column]
    values = {int(i): table.read(int(i), (own.modality,)) for i in np.flatnonzero(table.there[:, column])}
    return {index: value[own.modality] for index, value in values.items() if value}


def _standardised(
    rows: Mapping[int, np.ndarray], num_samples: int, fitted_on: Sequence[int]
) -> Float[np.ndarray, "sample feature"]:
    scaler = StandardScaler().fit(np.stack([rows[index] for index in fitted_on if index in rows]))
    block = np.zeros((num_samples, len(next(iter(rows.values())))))
    block[list(rows)] = scaler.transform(np.stack(list(rows.values())))
    return block / np.sqrt(block.shape[1])  # every modality has as much weight
