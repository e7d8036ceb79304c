"""The built-in world: deterministic, shifted by site, and with a best possible accuracy that is exact."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float, Int, UInt8
from scipy.stats import chi2_contingency, chisquare

from fedprime.data.sets import builtin, scenes
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sets.scenes import CELL_SIZE, FILLERS, INGREDIENTS, draw_image
from fedprime.data.sources import KnownWorld
from fedprime.reproducibility.seeding import stream

EVERYTHING = BuiltinWorld.modalities
PATTERNS = [pattern for size in range(4) for pattern in itertools.combinations(EVERYTHING, size)]

examples = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def world() -> BuiltinWorld:
    return BuiltinWorld(num_samples=2000, num_sites=3)


@pytest.fixture(scope="module")
def pair() -> BuiltinWorld:
    """Two classes at one site, where much is known in closed form."""
    return BuiltinWorld(num_samples=3000, num_classes=2, num_sites=1, seed=5)


@pytest.fixture(scope="module")
def posteriors(world: BuiltinWorld) -> dict[tuple[str, ...], Float[np.ndarray, "sample label"]]:
    """Of every sample of the world, with the same modalities present of all."""
    return {pattern: world.posterior(np.arange(len(world)), masks(world, pattern)) for pattern in PATTERNS}


def masks(world: BuiltinWorld, pattern: tuple[str, ...]) -> np.ndarray:
    return np.tile([modality in pattern for modality in EVERYTHING], (len(world), 1))


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    return list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)


def image_of(world: BuiltinWorld, index: int) -> UInt8[np.ndarray, "height width 3"]:
    image = world.read(index, ("image",))["image"]
    assert isinstance(image, np.ndarray)
    return image


def readings_of(world: BuiltinWorld, index: int) -> Float[np.ndarray, " reading"]:
    readings = world.read(index, ("readings",))["readings"]
    assert isinstance(readings, np.ndarray)
    return readings


def named_in(title: object) -> list[int]:
    """Reads a title: the ingredients that its words name."""
    ingredient = {name: index for index, names in enumerate(INGREDIENTS) for name in names}
    return [ingredient[word] for word in str(title).split() if word in ingredient]


def cells(image: np.ndarray) -> Float[np.ndarray, "cell pixel channel"]:
    side = len(image) // CELL_SIZE
    grid = image.astype(np.float64).reshape(side, CELL_SIZE, side, CELL_SIZE, 3).swapaxes(1, 2)
    return grid.reshape(side * side, CELL_SIZE * CELL_SIZE, 3)


def shown_in(image: np.ndarray) -> list[int]:
    """Reads a picture: the best shape by least squares and its colour, in the four cells where the fit is best."""
    found = cells(image)
    shapes = scenes._MASKS.reshape(8 * 9, -1).astype(np.float64)
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    # Each cell is a constant and, times a contrast per channel, one of the shapes.
    contrast = np.einsum("sp,cpk->csk", centred, found) / (centred**2).sum(axis=1)[None, :, None]
    explained = (contrast**2).sum(axis=2) * (centred**2).sum(axis=1)
    ingredients = []
    for cell in np.argsort(-explained.max(axis=1))[:4]:
        best = explained[cell].argmax()
        colour = found[cell].mean(axis=0) + contrast[cell, best] * (1 - shapes[best].mean())
        nearest = ((scenes._COLOURS - colour) ** 2).sum(axis=1).argmin()
        ingredients.append(int(best // 9 * 4 + nearest))
    return ingredients


def normal_distribution(value: float) -> float:
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))


# What a sample is


@examples
@given(st.lists(st.tuples(st.integers(0, 59), st.sampled_from(PATTERNS)), max_size=8), st.integers(0, 59))
def test_a_sample_is_the_same_whatever_was_asked_for_before_it(
    asked: list[tuple[int, tuple[str, ...]]], index: int
) -> None:
    world = BuiltinWorld(num_samples=60)
    for other, pattern in asked:
        world.read(other, pattern)
    assert same(world.read(index, EVERYTHING), BuiltinWorld(num_samples=60).read(index, EVERYTHING))


def test_a_sample_is_the_same_in_a_small_and_in_a_large_world(world: BuiltinWorld) -> None:
    small = BuiltinWorld(num_samples=40, num_sites=3)
    assert np.array_equal(small.labels, world.labels[:40])
    assert np.array_equal(small.sites, world.sites[:40])
    assert all(same(small.read(index, EVERYTHING), world.read(index, EVERYTHING)) for index in range(40))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_modality_is_the_same_whatever_is_asked_for_with_it(world: BuiltinWorld, pattern: tuple[str, ...]) -> None:
    complete = world.read(11, EVERYTHING)
    assert same(world.read(11, pattern), {modality: complete[modality] for modality in pattern})


def test_worlds_of_different_seeds_share_nothing() -> None:
    one, other = (BuiltinWorld(num_samples=50, seed=seed) for seed in (0, 1))
    assert not np.array_equal(one.labels, other.labels)
    assert not np.array_equal(one.sites, other.sites)
    assert not any(np.array_equal(image_of(one, index), image_of(other, index)) for index in range(50))


def test_what_is_not_asked_for_is_not_made(world: BuiltinWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a picture was drawn")

    monkeypatch.setattr(builtin, "draw_image", refuse)
    assert list(world.read(0, ("text", "readings"))) == ["text", "readings"]
    with pytest.raises(AssertionError, match="a picture was drawn"):
        world.read(0, EVERYTHING)


def test_a_modality_that_the_world_does_not_have_is_an_error(world: BuiltinWorld) -> None:
    with pytest.raises(KeyError, match="sound"):
        world.read(0, ("sound",))


def test_a_sample_beyond_the_last_is_an_error() -> None:
    with pytest.raises(IndexError):
        BuiltinWorld(num_samples=5).read(5, ("text",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "at least 1 sample"),
        ({"num_samples": 5, "num_classes": 1}, "2 to 101 classes"),
        ({"num_samples": 5, "num_classes": 102}, "2 to 101 classes"),
        ({"num_samples": 5, "num_sites": 0}, "at least 1 site"),
    ],
)
def test_impossible_worlds_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BuiltinWorld(**settings)


def test_classes_and_sites_are_equally_frequent_and_independent(world: BuiltinWorld) -> None:
    counts = np.zeros((8, 3))
    np.add.at(counts, (world.labels, world.sites), 1)
    assert chisquare(counts.ravel()).pvalue > 1e-3


# What a modality shows


@pytest.mark.parametrize("site", range(3))
def test_every_glyph_can_be_read_from_a_picture(world: BuiltinWorld, site: int) -> None:
    rng = stream(0, "glyphs", site)
    for _ in range(8):
        glyphs = rng.choice(len(INGREDIENTS), size=4)
        picture = draw_image(glyphs, world._styles[site], rng)
        assert sorted(shown_in(picture)) == sorted(glyphs)


def test_a_title_names_two_ingredients_among_fillers(world: BuiltinWorld) -> None:
    known = {*itertools.chain(*INGREDIENTS), *FILLERS}
    titles = [str(world.read(index, ("text",))["text"]) for index in range(300)]
    assert all(set(title.split()) <= known for title in titles)
    assert {len(named_in(title)) for title in titles} == {2}


def test_a_sample_has_the_types_that_backbones_read(world: BuiltinWorld) -> None:
    sample = world.read(0, EVERYTHING)
    image, readings = sample["image"], sample["readings"]
    assert isinstance(image, np.ndarray)
    assert isinstance(sample["text"], str)
    assert isinstance(readings, np.ndarray)
    assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
    assert (readings.shape, readings.dtype) == ((6,), np.float32)


# Sites


def test_sites_differ_in_the_colour_of_their_pictures(world: BuiltinWorld) -> None:
    colours = np.array([image_of(world, index).mean(axis=(0, 1)) for index in range(300)])
    of_site = [colours[world.sites[:300] == site] for site in range(3)]
    between = np.std([rows.mean(axis=0) for rows in of_site], axis=0).max()
    within = np.mean([rows.std(axis=0) for rows in of_site])
    assert between > 2 * within


def test_sites_prefer_other_names(world: BuiltinWorld) -> None:
    second = {names[1] for names in INGREDIENTS}
    used = np.zeros((3, 2))
    for index in range(900):
        words = str(world.read(index, ("text",))["text"]).split()
        for word in set(words) - set(FILLERS):
            used[world.sites[index], int(word in second)] += 1
    # A probability of less than one in a million that all sites prefer the same.
    assert chi2_contingency(used).pvalue < 1e-6


def test_sites_prefer_other_fillers(world: BuiltinWorld) -> None:
    used = np.zeros((3, len(FILLERS)))
    for index in range(900):
        for word in set(str(world.read(index, ("text",))["text"]).split()) & set(FILLERS):
            used[world.sites[index], FILLERS.index(word)] += 1
    assert chi2_contingency(used).pvalue < 1e-6


def test_the_sensors_of_sites_are_offset(world: BuiltinWorld) -> None:
    readings = np.array([readings_of(world, index) for index in range(len(world))])
    means = [
        np.mean([readings[(world.sites == site) & (world.labels == label)].mean(axis=0) for label in range(8)], axis=0)
        for site in range(2)
    ]
    # Six means over about 670 readings each: the root mean square of what chance alone would show is 0.055.
    assert np.sqrt(((means[0] - means[1]) ** 2).mean()) > 3 * 0.055


@pytest.mark.parametrize("part", ["_image_mixtures", "_title_mixtures"])
def test_sites_tilt_the_mixtures_and_keep_what_a_class_is(world: BuiltinWorld, part: str) -> None:
    mixtures = getattr(world, part)
    # Half the L1 distance: between two sites of a class, and between two classes of a site.
    of_sites = 0.5 * np.abs(mixtures[0] - mixtures[1]).sum(axis=1).mean()
    of_classes = 0.5 * np.abs(mixtures[0, 0] - mixtures[0, 1:]).sum(axis=1).mean()
    assert 0.05 < of_sites < of_classes / 2


def test_a_class_is_the_same_dish_in_a_world_of_few_and_of_many_classes() -> None:
    few, many = (BuiltinWorld(num_samples=1, num_classes=number) for number in (2, 8))
    for part in ("_image_mixtures", "_title_mixtures"):
        assert np.allclose(getattr(few, part), getattr(many, part)[:, :2])
    assert np.array_equal(few._means, many._means[:2])


# The best possible accuracy


def by_bayes_rule(world: BuiltinWorld, index: int, pattern: tuple[str, ...]) -> Float[np.ndarray, " label"]:
    """Works the posterior out from what can be read in the sample, class by class."""
    sample, site = world.read(index, pattern), world.sites[index]
    products = []
    for label in range(world.num_classes):
        likelihood = 1.0
        if "image" in pattern:
            for ingredient in shown_in(image_of(world, index)):
                likelihood *= world._image_mixtures[site, label, ingredient]
        if "text" in pattern:
            for ingredient in named_in(sample["text"]):
                likelihood *= world._title_mixtures[site, label, ingredient]
        if "readings" in pattern:
            for found, mean in zip(readings_of(world, index), world._means[label] + world._offsets[site], strict=True):
                likelihood *= math.exp(-((found - mean) ** 2) / 2) / math.sqrt(2 * math.pi)
        products.append(likelihood)
    return np.array(products) / sum(products)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_posterior_is_bayes_rule_on_what_can_be_read(world: BuiltinWorld, pattern: tuple[str, ...]) -> None:
    indices = np.arange(6)
    posterior = world.posterior(indices, masks(world, pattern)[:6])
    assert np.allclose(posterior, [by_bayes_rule(world, int(index), pattern) for index in indices], atol=1e-9)


def half_distance(counts: np.ndarray, mixtures: np.ndarray) -> Float[np.ndarray, "found label"]:
    """Returns the total variation distance of what was found in samples of each class to the mixture of each."""
    found = counts / counts.sum(axis=1, keepdims=True)
    return 0.5 * np.abs(found[:, None] - mixtures[None]).sum(axis=2)


def test_titles_name_ingredients_as_often_as_the_mixtures_say(pair: BuiltinWorld) -> None:
    counts = np.zeros((2, len(INGREDIENTS)))
    for index, label in enumerate(pair.labels):
        np.add.at(counts[label], named_in(pair.read(index, ("text",))["text"]), 1)
    distance = half_distance(counts, pair._title_mixtures[0])
    # Of 3,000 draws, chance alone is about 0.03 away from the truth; the other class is much farther.
    assert distance.diagonal().max() < 0.05 < 0.25 < min(distance[0, 1], distance[1, 0])


@pytest.mark.parametrize("site", [0, 1])
def test_samples_follow_the_mixtures_of_their_own_site(site: int) -> None:
    world = BuiltinWorld(num_samples=4000, num_classes=2, num_sites=2)
    counts = np.zeros((2, len(INGREDIENTS)))
    for index in np.flatnonzero(world.sites == site):
        np.add.at(counts[world.labels[index]], named_in(world.read(int(index), ("text",))["text"]), 1)
    own, other = (half_distance(counts, world._title_mixtures[of]).diagonal() for of in (site, 1 - site))
    # Of 2,000 draws, chance alone is about 0.04 away from the truth.
    assert own.max() < 0.06
    assert other.min() > 1.5 * own.max()


def test_pictures_show_ingredients_as_often_as_the_mixtures_say(pair: BuiltinWorld) -> None:
    counts = np.zeros((2, len(INGREDIENTS)))
    for index in range(400):
        np.add.at(counts[pair.labels[index]], shown_in(image_of(pair, index)), 1)
    distance = half_distance(counts, pair._image_mixtures[0])
    # Of 800 draws, chance alone is about 0.07 away from the truth; the other class is much farther.
    assert distance.diagonal().max() < 0.1 < 0.25 < min(distance[0, 1], distance[1, 0])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_best_answer_is_right_as_often_as_promised(
    world: BuiltinWorld, posteriors: dict[tuple[str, ...], np.ndarray], pattern: tuple[str, ...]
) -> None:
    posterior = posteriors[pattern]
    promised = posterior.max(axis=1).mean()
    right = posterior.argmax(axis=1) == world.labels
    standard_error = math.sqrt((posterior.max(axis=1) * (1 - posterior.max(axis=1))).sum()) / len(world)
    assert abs(right.mean() - promised) < 4 * standard_error


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_every_probability_of_the_posterior_means_what_it_says(
    world: BuiltinWorld, posteriors: dict[tuple[str, ...], np.ndarray], pattern: tuple[str, ...]
) -> None:
    posterior = posteriors[pattern]
    is_class = np.arange(8) == world.labels[:, None]
    for low in np.arange(0, 1, 0.1):
        inside = (posterior >= low) & (posterior < low + 0.1)
        assert abs(is_class[inside].mean() - posterior[inside].mean()) < 4 * math.sqrt(0.25 / inside.sum())


def test_the_best_accuracy_is_the_mean_chance_that_the_best_answer_is_right(
    world: BuiltinWorld, posteriors: dict[tuple[str, ...], np.ndarray]
) -> None:
    chances = [max(row) for row in posteriors["text",][:50]]
    assert world.bayes_accuracy(np.arange(50), masks(world, ("text",))[:50]) == pytest.approx(sum(chances) / 50)


def test_the_best_accuracy_of_titles_is_that_of_all_possible_titles_weighed() -> None:
    world = BuiltinWorld(num_samples=3000, num_classes=3, num_sites=1)
    mixtures = world._title_mixtures[0]
    exact = sum(
        max(mixtures[label, first] * mixtures[label, second] / 3 for label in range(3))
        for first, second in itertools.product(range(len(INGREDIENTS)), repeat=2)
    )
    # The accuracy promised for 3,000 titles is a mean of 3,000 values between 1/3 and 1.
    assert world.bayes_accuracy(np.arange(3000), masks(world, ("text",))) == pytest.approx(exact, abs=0.015)


def test_the_best_accuracy_of_readings_is_that_of_two_normal_distributions(pair: BuiltinWorld) -> None:
    readings = np.array([readings_of(pair, index) for index in range(len(pair))])
    apart = np.linalg.norm(readings[pair.labels == 0].mean(axis=0) - readings[pair.labels == 1].mean(axis=0))
    promised = pair.bayes_accuracy(np.arange(len(pair)), masks(pair, ("readings",)))
    assert promised == pytest.approx(normal_distribution(float(apart) / 2), abs=0.015)


def test_without_any_modality_the_best_accuracy_is_a_guess(world: BuiltinWorld) -> None:
    assert world.bayes_accuracy(np.arange(len(world)), masks(world, ())) == pytest.approx(1 / 8)


def test_modalities_complement_each_other_and_none_is_enough(posteriors: dict[tuple[str, ...], np.ndarray]) -> None:
    accuracy = {pattern: posterior.max(axis=1).mean() for pattern, posterior in posteriors.items()}
    for pattern, more in itertools.product(PATTERNS, PATTERNS):
        if set(pattern) < set(more):
            assert accuracy[more] > accuracy[pattern] + 0.01
    assert max(accuracy[modality,] for modality in EVERYTHING) < 0.9


def test_samples_in_one_question_may_lack_different_modalities(world: BuiltinWorld) -> None:
    present = np.array([[modality in pattern for modality in EVERYTHING] for pattern in PATTERNS])
    together = world.posterior(np.full(len(PATTERNS), 4), present)
    alone = [world.posterior(np.array([4]), present[[row]])[0] for row in range(len(PATTERNS))]
    assert np.array_equal(together, alone)


def test_sample_numbers_may_come_in_any_order(world: BuiltinWorld) -> None:
    indices: Int[np.ndarray, " sample"] = np.array([9, 2, 9, 0])
    present = masks(world, EVERYTHING)
    assert np.array_equal(world.posterior(indices, present[:4]), world.posterior(np.arange(10), present[:10])[indices])


def test_a_prior_weighs_the_posterior_by_bayes_rule(world: BuiltinWorld) -> None:
    indices, present = np.arange(20), np.tile([True, False, False], (20, 1))
    prior = np.tile(np.arange(8) / 28, (20, 1))  # the first class cannot be
    weighed = prior * world.posterior(indices, present)
    expected = weighed / weighed.sum(axis=1, keepdims=True)
    assert np.allclose(world.posterior(indices, present, prior), expected)
    assert (world.posterior(indices, present, prior)[:, 0] == 0).all()


def test_without_concept_shift_the_world_is_what_it_was() -> None:
    plain, same = (
        BuiltinWorld(num_samples=20, num_sites=3),
        BuiltinWorld(num_samples=20, num_sites=3, concept_shift=0.0),
    )
    assert [plain.read(index, ("text",)) for index in range(20)] == [same.read(index, ("text",)) for index in range(20)]
    assert np.array_equal(plain._image_mixtures, same._image_mixtures)


@pytest.mark.parametrize("part", ["_image_mixtures", "_title_mixtures"])
def test_at_full_concept_shift_a_dish_of_one_site_says_nothing_about_that_of_another(part: str) -> None:
    def correlation(shift: float) -> float:
        logits = np.log(getattr(BuiltinWorld(1, num_classes=101, num_sites=2, concept_shift=shift), part))
        here, there = (site - site.mean(axis=0) - site.mean(axis=1, keepdims=True) + site.mean() for site in logits)
        return float(np.corrcoef(here.ravel(), there.ravel())[0, 1])

    # 3,232 pairs of numbers: a correlation of independent ones stays within 0.07 (four standard deviations).
    assert correlation(0.0) > 0.999
    assert abs(correlation(0.5) - 0.5) < 0.07
    assert abs(correlation(1.0)) < 0.07


def test_sites_with_dishes_of_their_own_are_as_easy_to_tell_apart_for_who_knows_the_site() -> None:
    present = np.tile([True, True, False], (2000, 1))
    agreeing, shifted = (
        BuiltinWorld(2000, num_sites=8, concept_shift=shift).bayes_accuracy(np.arange(2000), present)
        for shift in (0.0, 1.0)
    )
    assert abs(agreeing - shifted) < 0.05


@pytest.mark.parametrize("shift", [-0.1, 1.1])
def test_a_concept_shift_outside_its_range_is_refused(shift: float) -> None:
    with pytest.raises(ValueError, match="it is a share, between 0 and 1"):
        BuiltinWorld(num_samples=1, concept_shift=shift)


def test_the_last_samples_are_for_validation_and_test_as_asked() -> None:
    splits = BuiltinWorld(10, num_validation=2, num_test=3).splits
    assert {name: own.tolist() for name, own in splits.items()} == {
        "train": [0, 1, 2, 3, 4],
        "validation": [5, 6],
        "test": [7, 8, 9],
    }


def test_more_samples_for_validation_and_test_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="of 4 samples, 2 cannot be for validation and 3 for the test"):
        BuiltinWorld(4, num_validation=2, num_test=3)


def test_nothing_of_the_world_is_really_missing_and_its_limit_is_known() -> None:
    world = BuiltinWorld(4)
    assert world.there.all()
    assert isinstance(world, KnownWorld)


def test_what_is_another_value_in_another_world_has_another_identity() -> None:
    worlds = [
        BuiltinWorld(9),
        BuiltinWorld(9, num_classes=5),
        BuiltinWorld(9, num_sites=5),
        BuiltinWorld(9, seed=1),
        BuiltinWorld(9, concept_shift=0.5),
    ]
    identities = {world.identity(index, "image") for world in worlds for index in range(9)}
    assert len(identities) == 5 * 9
    # How many samples there are decides none of them.
    assert BuiltinWorld(8, num_test=3).identity(7, "text") == BuiltinWorld(9).identity(7, "text")


def test_samples_are_those_of_their_version() -> None:
    world = BuiltinWorld(9)
    found = [world.read(index, world.modalities) for index in (0, 7)]
    pinned = {
        1: [
            (1658517, "mussel lettuce", [-1.2098, -0.0364, 2.7852, -2.7486, -0.6101, 0.1997]),
            (1680492, "simple garbanzo cheddar", [2.2883, 1.8926, -2.7824, -2.0996, 0.1188, -0.8782]),
        ]
    }
    for sample, (pixels, title, readings) in zip(found, pinned[world.version], strict=True):
        assert sample["readings"] == pytest.approx(readings, abs=1e-4)
        # Caches hold embeddings of these: who changes them raises the version of the world, and pins the new ones.
        assert (np.asarray(sample["image"]).astype(int).sum(), sample["text"]) == (pixels, title)


def test_ingredients_are_those_that_the_title_names() -> None:
    world = BuiltinWorld(20)
    for index in range(20):
        named = world.ingredients(index, "text")
        title = world.read(index, ("text",))["text"]
        assert isinstance(title, str)
        assert all(any(name in title for name in INGREDIENTS[number]) for number in named)
