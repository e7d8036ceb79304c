"""The built-in world: generated samples with an image, a title and readings, whose best possible accuracy is known.

A *class* is a dish. Each modality draws separately from the dish's own mixtures over 32 *ingredients*: the image shows
four draws as small glyphs (shape x colour) on a noisy background, the title names two draws among filler words, each by
one of two names, the readings are six numbers around the dish's mean. So the modalities complement each other and none
is enough.

Because the world is generated, the posterior of the class given any subset of modalities is exact:
`BuiltinWorld.bayes_accuracy` is the accuracy that no classifier can beat on those samples, with those modalities
missing.

Every sample belongs to a *site* (a natural group), which shifts the style (tint, noise, preferred names and fillers, a
sensor offset) and tilts the mixtures, so that clients can differ for a reason. With `concept_shift`, sites disagree
about what a dish is made of: the same ingredients mean another dish elsewhere.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.sets.scenes import INGREDIENTS, draw_image, draw_style, write_title
from fedprime.data.sources import Task
from fedprime.reproducibility.seeding import stream, stream_seed

NUM_GLYPHS = 4
NUM_NAMED = 2
NUM_READINGS = 6
READINGS_SPREAD = 0.55  # how far apart the classes' mean readings are, in units of the readings' noise
IMAGE_CONTRAST = 1.4  # spread of the log-mixtures: higher means classes are easier to tell apart
TITLE_CONTRAST = 1.75
SITE_TILT = 0.25  # spread of a site's log-tilt of the mixtures

_LABEL, _IMAGE, _TITLE, _READINGS = range(4)  # parts of a sample, each with its own stream


class BuiltinWorld:
    """A generated data set, deterministic in (seed, index): sample i is the same whatever was asked for before it.

    >>> world = BuiltinWorld(num_samples=100)
    >>> sample = world.read(7, ("image", "text"))
    >>> sample["image"].shape
    (64, 64, 3)
    >>> sample["text"] == BuiltinWorld(num_samples=8).read(7, ("text",))["text"]
    True
    """

    modalities: tuple[str, ...] = ("image", "text", "readings")
    task: Task = "one_class"
    version = 1  # to be raised when the same sample of the same world has other values

    def __init__(
        self,
        num_samples: int,
        num_classes: int = 8,
        num_sites: int = 10,
        seed: int = 0,
        concept_shift: float = 0.0,
        *,
        num_validation: int = 0,
        num_test: int = 0,
    ) -> None:
        """Sets the world up; nothing is generated yet but labels and sites.

        Args:
            num_samples: How many samples there are, at least 1.
            num_classes: How many classes there are, 2 to 101.
            num_sites: How many natural groups there are, at least 1.
            seed: Seed of the world: of its mixtures, sites and samples.
            concept_shift: How much sites disagree about the ingredients of a dish: 0 not at all, 1 means that every
                site has dishes of its own. Classes are equally easy to tell apart at a site whatever it is.
            num_validation: How many samples are for validation; those after the training samples.
            num_test: How many samples are for the test; the last ones.

        Raises:
            ValueError: If a number is out of its range.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples is {num_samples}; a world has at least 1 sample")
        if not 2 <= num_classes <= 101:
            raise ValueError(f"num_classes is {num_classes}; a built-in world has 2 to 101 classes")
        if num_sites < 1:
            raise ValueError(f"num_sites is {num_sites}; a world has at least 1 site")
        if not 0 <= num_validation + num_test <= num_samples:
            raise ValueError(
                f"of {num_samples} samples, {num_validation} cannot be for validation and {num_test} for the test"
            )
        if not 0 <= concept_shift <= 1:
            raise ValueError(f"concept_shift is {concept_shift}; it is a share, between 0 and 1")
        self.num_classes = num_classes
        self.label_names = tuple(f"dish-{label:02d}" for label in range(num_classes))
        rng = stream(seed, "world", "mixtures")
        # Logits are drawn for all 101 classes first, so a class is the same dish in a small and in a large world.
        image_logits = IMAGE_CONTRAST * rng.standard_normal((101, len(INGREDIENTS)))[:num_classes]
        title_logits = TITLE_CONTRAST * rng.standard_normal((101, len(INGREDIENTS)))[:num_classes]
        self._means = READINGS_SPREAD * rng.standard_normal((101, NUM_READINGS))[:num_classes]
        self._styles = [draw_style(stream(seed, "world", "style", site)) for site in range(num_sites)]
        tilts = [
            stream(seed, "world", "tilt", site).standard_normal((2, len(INGREDIENTS))) for site in range(num_sites)
        ]
        tilt = SITE_TILT * np.stack(tilts)
        own = [
            stream(seed, "world", "concepts", site).standard_normal((2, 101, len(INGREDIENTS)))[:, :num_classes]
            for site in range(num_sites)
        ]
        # Roots, so that the logits spread equally far at every shift.
        kept, own_share = (1 - concept_shift) ** 0.5, concept_shift**0.5 * np.stack(own)
        self._image_mixtures = _softmax(kept * image_logits + IMAGE_CONTRAST * own_share[:, 0] + tilt[:, :1])
        self._title_mixtures = _softmax(kept * title_logits + TITLE_CONTRAST * own_share[:, 1] + tilt[:, 1:])
        offsets = [stream(seed, "world", "offset", site).standard_normal(NUM_READINGS) for site in range(num_sites)]
        self._offsets = SITE_TILT * np.stack(offsets)
        self._key = stream_seed(seed, "world", "samples")
        self._name = f"builtin {seed} {num_classes} {num_sites} {concept_shift!r}"
        # Of each sample that was asked for: the log-likelihood of every class, by part.
        self._known: dict[int, dict[int, np.ndarray]] = {_IMAGE: {}, _TITLE: {}, _READINGS: {}}
        drawn = [self._stream(index, _LABEL).random(2) for index in range(num_samples)]
        uniform = np.array(drawn)
        self.labels: Int[np.ndarray, " sample"] = (uniform[:, 0] * num_classes).astype(np.int64)
        self.sites: Int[np.ndarray, " sample"] = (uniform[:, 1] * num_sites).astype(np.int64)
        self.there: Bool[np.ndarray, "sample modality"] = np.ones((num_samples, len(self.modalities)), dtype=bool)
        bounds = [num_samples - num_validation - num_test, num_samples - num_test]
        train, validation, test = np.split(np.arange(num_samples), bounds)
        self.splits: Mapping[str, Int[np.ndarray, " _"]] = {"train": train, "validation": validation, "test": test}

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        """Generates the asked modalities of one sample; the others are not computed.

        Returns:
            By modality: the image as (64, 64, 3) uint8, the text as a string, the readings as 6 float32.
        """
        label, site = self.labels[index], self.sites[index]
        style = self._styles[site]
        values: dict[str, object] = {}
        for modality in modalities:
            if modality == "image":
                ingredients, rng = self._draw_ingredients(index, _IMAGE)
                values[modality] = draw_image(ingredients, style, rng)
            elif modality == "text":
                ingredients, rng = self._draw_ingredients(index, _TITLE)
                values[modality] = write_title(ingredients, style, rng)
            elif modality == "readings":
                noise = self._stream(index, _READINGS).standard_normal(NUM_READINGS)
                values[modality] = (self._means[label] + self._offsets[site] + noise).astype(np.float32)
            else:
                raise KeyError(modality)
        return values

    def identity(self, index: int, modality: str) -> str:
        """Returns what tells a raw value from all others: what decides the world, and which sample of it."""
        del modality  # each of a sample follows from the same
        return f"{self._name} {index} {self.version}"

    def ingredients(self, index: int, modality: str) -> Int[np.ndarray, " drawn"]:
        """Returns which ingredients a sample's image shows or its title names, to whoever reads perfectly."""
        return self._draw_ingredients(index, {"image": _IMAGE, "text": _TITLE}[modality])[0]

    def posterior(
        self,
        indices: Int[np.ndarray, " sample"],
        present: Bool[np.ndarray, "sample modality"],
        prior: Float[np.ndarray, "sample label"] | None = None,
    ) -> Float[np.ndarray, "sample label"]:
        """Returns the exact probability of every class, given what is present of each sample and the sample's site.

        Args:
            present: Which modalities of each are there, in the order of `modalities`.
            prior: Probability of every class of each sample before anything of it is seen; by default all are equal.
        """
        log_posterior = np.zeros((len(indices), self.num_classes))
        if prior is not None:
            with np.errstate(divide="ignore"):  # a class that cannot be has minus infinity
                log_posterior += np.log(prior)
        for column, part in enumerate((_IMAGE, _TITLE, _READINGS)):
            rows = np.flatnonzero(present[:, column])
            if len(rows):
                log_posterior[rows] += np.stack([self._log_likelihood(int(index), part) for index in indices[rows]])
        return _softmax(log_posterior)

    def bayes_accuracy(
        self, indices: Int[np.ndarray, " sample"], present: Bool[np.ndarray, "sample modality"]
    ) -> float:
        """Returns the accuracy that the best possible classifier expects on these samples, 0 to 1.

        That is the mean of the highest posterior probability. The best classifier reads every glyph, word and number
        perfectly, knows the world's mixtures and each sample's site, and answers the most probable class. It is an
        upper limit for every classifier that sees only the samples.
        """
        return float(self.posterior(indices, present).max(axis=1).mean())

    def _log_likelihood(self, index: int, part: int) -> Float[np.ndarray, " label"]:
        """Returns what a part of a sample says about every class, up to a constant."""
        known = self._known[part]
        if index not in known:
            site = self.sites[index]
            if part == _READINGS:
                offset = self.read(index, ("readings",))["readings"] - self._offsets[site]  # pyright: ignore[reportOperatorIssue]
                known[index] = -0.5 * ((offset - self._means) ** 2).sum(axis=1)
            else:
                mixtures = self._image_mixtures if part == _IMAGE else self._title_mixtures
                ingredients, _ = self._draw_ingredients(index, part)
                known[index] = np.log(mixtures[site][:, ingredients]).sum(axis=1)
        return known[index]

    def _stream(self, index: int, part: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=(self._key, index), counter=(0, 0, 0, part)))

    def _draw_ingredients(self, index: int, part: int) -> tuple[Int[np.ndarray, " drawn"], np.random.Generator]:
        rng = self._stream(index, part)
        mixtures = self._image_mixtures if part == _IMAGE else self._title_mixtures
        mixture = mixtures[self.sites[index], self.labels[index]]
        num_drawn = NUM_GLYPHS if part == _IMAGE else NUM_NAMED
        drawn = np.searchsorted(np.cumsum(mixture), rng.random(num_drawn) * mixture.sum(), side="right")
        return np.minimum(drawn, len(mixture) - 1).astype(np.int64), rng


def _softmax(logits: Float[np.ndarray, "*rows choice"]) -> Float[np.ndarray, "*rows choice"]:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
