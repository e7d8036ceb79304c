"""Missingness that depends on the class (MNAR) or on a value that is there (MAR), by a logistic model.

    p(a sample lacks something) = sigmoid(b + strength · score),    score in [-1, 1]

`b` is chosen so that the mean over the training samples is the rate; the same `b` holds in every split. At strength 0
all samples lack something at the same rate; the odds at score 1 are exp(2 · strength) times those at score -1. Counts
of training samples are met up to one; each sample alone has exactly its own probability.

Source: the logistic masks of Muzellec et al., Missing Data Imputation using Optimal Transport, ICML 2020, whose bias is
    fitted to the rate in the same way.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.missingness.mechanisms import Mechanism, Split, patterns_at, spread
from fedprime.data.missingness.patterns import all_patterns
from fedprime.data.odd_values import place_of
from fedprime.data.sources import SampleSource
from fedprime.reproducibility.seeding import stream


class ByLabel(Mechanism):
    """Some classes lack something more often than others (MNAR): what is missing tells about the class.

    Classes have evenly spaced scores, in an order drawn from the seed. How often something is lacking depends on the
    class, what is lacking then does not. Counts are met over all samples and in every class.
    """

    def __init__(
        self,
        shares: Float[np.ndarray, " pattern"],
        labels: Int[np.ndarray, " sample"],
        num_labels: int,
        strength: float,
        *,
        seed: int,
    ) -> None:
        """Finds the rate of every class.

        Args:
            shares: Share of each pattern over the training samples.
            strength: Slope of the logistic model.
        """
        self._shares = shares
        self._seed = seed
        scores = stream(seed, "missingness", "classes").permutation(np.linspace(-1, 1, num_labels))
        #: By class, the share of its samples that lack something.
        self.rates: Float[np.ndarray, " label"] = logistic_rates(scores, scores[labels], _rate(shares), strength)

    def draw(self, split: Split) -> Bool[np.ndarray, "sample modality"]:
        """Returns what is present of each sample."""
        rng = stream(self._seed, "missingness", split.name)
        # In the order of classes, so that each class has its count, too; within a class the order is random.
        order = rng.permutation(len(split))
        order = order[np.argsort(split.labels[order], kind="stable")]
        lacks = _draw_events(self.rates[split.labels], order, rng)
        drawn = np.full(len(split), len(self._shares) - 1)
        if lacks.any():
            drawn[lacks] = patterns_at(self._shares[:-1], spread(int(lacks.sum()), rng))
        return split.left_of(_patterns(self._shares)[drawn])

    def likelihood(self) -> Float[np.ndarray, "#client #label pattern"]:
        """Returns the probability of every pattern, given the class: rate of the class times share of the pattern."""
        lacking = self.rates[:, None] * self._shares[:-1] / max(_rate(self._shares), np.finfo(float).tiny)
        return np.concatenate([lacking, 1 - self.rates[:, None]], axis=1)[None]

    def strata(self, split: Split) -> tuple[str, Int[np.ndarray, " sample"]]:
        """Returns the class of each sample."""
        return "label", split.labels


class ByObserved(Mechanism):
    """What is missing of one modality depends on a value of another one, which the sample keeps (MAR).

    Samples are first given what they may lack, at random. Whether they do depends on the modality that follows it
    (after the last comes the first) and stays there in any case: its summary, see `summarise`, is compared with those
    of the training samples that may lack the same; the score is its rank among them, from -1 to 1. So an image is
    missing more often where the title is long, a title where the readings are high or, with two modalities, where the
    image is bright. Nothing that is missing is ever read: a sample that really lacks the modality to look at lacks
    nothing else. Counts are met for each thing that may be lacking.
    """

    def __init__(
        self,
        shares: Float[np.ndarray, " pattern"],
        source: SampleSource,
        modalities: Sequence[str],
        train: Split,
        strength: float,
        *,
        seed: int,
    ) -> None:
        """Reads what the training samples lack by.

        Args:
            strength: Slope of the logistic model; below 0, low values are those with which something is missing.

        Raises:
            ValueError: If a value has no finite summary.
        """
        self._shares = shares
        self._source = source
        self._modalities = modalities
        self._strength = strength
        self._seed = seed
        #: By what may be lacking, the summaries of the training samples in ascending order.
        self._known: dict[int, Float[np.ndarray, " sample"]] = {}
        candidates = self._candidates(train)
        for pattern in np.flatnonzero(shares[:-1]):
            self._known[int(pattern)] = np.sort(self._summaries(int(pattern), train.indices[candidates == pattern]))

    def draw(self, split: Split) -> Bool[np.ndarray, "sample modality"]:
        """Returns what is present of each sample."""
        rng = stream(self._seed, "missingness", split.name, "events")
        drawn = np.full(len(split), len(self._shares) - 1)
        candidates = self._candidates(split)
        for pattern, known in self._known.items():
            own = np.flatnonzero(candidates == pattern)
            scores = _rank_scores(self._summaries(pattern, split.indices[own]), known)
            rates = logistic_rates(scores, _rank_scores(known, known), _rate(self._shares), self._strength)
            drawn[own[_draw_events(rates, rng.permutation(len(own)), rng)]] = pattern
        return split.left_of(_patterns(self._shares)[drawn])

    def likelihood(self) -> None:
        """Returns None: missingness that depends on observed values only can be ignored (Rubin 1976).

        With o the values that are there, m those that are not, r the pattern: p(r | o, m, y) = f(r, o), so

            p(y | o, r) ∝ p(y) · sum over m of p(o, m | y) · p(r | o, m, y) = p(y) · p(o | y) · f(r, o) ∝ p(y | o).
        """

    def driver(self, pattern: int) -> str:
        """Returns the modality whose value decides whether samples have an incomplete pattern."""
        there = _patterns(self._shares)[pattern]
        first_lacking = int(np.flatnonzero(~there)[0])
        following = (first_lacking + np.arange(1, len(there))) % len(there)
        return self._modalities[int(following[there[following]][0])]

    def _candidates(self, split: Split) -> Int[np.ndarray, " sample"]:
        rng = stream(self._seed, "missingness", split.name)
        if _rate(self._shares) == 0:
            return np.full(len(split), len(self._shares) - 1)
        candidates = patterns_at(self._shares[:-1], spread(len(split), rng))
        if split.there is not None:
            for pattern in np.flatnonzero(self._shares[:-1]):
                is_there = split.there[:, self._modalities.index(self.driver(int(pattern)))]
                candidates[(candidates == pattern) & ~is_there] = len(self._shares) - 1
        return candidates

    def _summaries(self, pattern: int, indices: Int[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
        driver = self.driver(pattern)
        found = np.array(
            [summarise(self._source.read(int(index), (driver,))[driver]) for index in indices], dtype=float
        )
        unusable = indices[~np.isfinite(found)]
        if len(unusable):
            place = place_of(self._source, int(unusable[0]))
            raise ValueError(
                f"what is missing shall depend on {driver}, but that of {place} has no finite mean; mend the data or "
                "choose another kind"
            )
        return found


def summarise(value: object) -> float:
    """Returns a value as one number: of a text how many characters it has, of numbers (pixels, readings) their mean.

    Of a sound it is how loud it is, of a row of a table the mean of its filled cells, each as one number.

    >>> summarise("tomato"), summarise(np.array([1.0, 3.0])), summarise({"price": 4.0, "brand": "acme", "size": None})
    (6.0, 2.0, 4.0)
    """
    if isinstance(value, Mapping) and "array" in value:
        return summarise(np.abs(np.asarray(value["array"], dtype=float)))
    if isinstance(value, Mapping):
        return summarise(np.array([summarise(cell) for cell in value.values() if cell is not None]))
    return float(len(value)) if isinstance(value, str) else float(np.mean(np.asarray(value, dtype=float)))


def logistic_rates(
    scores: Float[np.ndarray, " entry"], reference: Float[np.ndarray, " sample"], rate: float, strength: float
) -> Float[np.ndarray, " entry"]:
    """Returns ``sigmoid(b + strength * score)``, with `b` such that its mean over reference scores is a rate.

    Args:
        scores: Where to take it, in [-1, 1].
        reference: The scores that it is averaged over.
        rate: The mean, 0 to 1.

    >>> logistic_rates(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), rate=0.5, strength=np.log(3)).round(6)
    array([0.25, 0.75])
    """
    from scipy.optimize import brentq  # slow to import, and few runs need it
    from scipy.special import expit, logit

    if rate in (0, 1):
        return np.full(len(scores), float(rate))
    reach = abs(strength) + 1  # one more than scores can shift it by
    if len(reference) == 0:
        reference = np.zeros(1)

    def excess(offset: float) -> float:
        return float(expit(offset + strength * reference).mean()) - rate

    offset: float = brentq(excess, logit(rate) - reach, logit(rate) + reach)  # pyright: ignore[reportAssignmentType]
    return expit(offset + strength * scores)


def _rank_scores(
    values: Float[np.ndarray, " value"], known: Float[np.ndarray, " sample"]
) -> Float[np.ndarray, " value"]:
    """Returns the share of known values below minus the share above, in [-1, 1]; `known` ascends."""
    if len(known) == 0:
        return np.zeros(len(values))
    below, not_above = (np.searchsorted(known, values, side=side) for side in ("left", "right"))
    return (below + not_above) / len(known) - 1


def _draw_events(
    probabilities: Float[np.ndarray, " sample"], order: Int[np.ndarray, " sample"], rng: np.random.Generator
) -> Bool[np.ndarray, " sample"]:
    """Draws events by systematic sampling: their number is the sum of the probabilities up to one, in any run, too."""
    passed = np.floor(np.concatenate([[0.0], np.cumsum(probabilities[order])]) + rng.random())
    happens = np.empty(len(order), dtype=bool)
    happens[order] = np.diff(passed) > 0
    return happens


def _rate(shares: Float[np.ndarray, " pattern"]) -> float:
    return float(1 - shares[-1])  # exact at 0 and 1


def _patterns(shares: Float[np.ndarray, " pattern"]) -> Bool[np.ndarray, "pattern modality"]:
    return all_patterns(int(np.log2(len(shares) + 1)))
