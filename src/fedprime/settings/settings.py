"""Every setting of a run: typed, named, explained, bounded."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from fedprime.backbones.precision import Precision
from fedprime.data.missingness.mechanisms import MechanismKind
from fedprime.data.missingness.patterns import ANY
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.federation.local_training import LocalTraining
from fedprime.methods import METHODS, Method
from fedprime.methods.aggregation.robust import Aggregation
from fedprime.methods.safeguards import reason_against_attack, reason_against_privacy, reason_against_robustness
from fedprime.models.prompted_model import HeadKind
from fedprime.reproducibility.errors import nearest_name
from fedprime.reproduction.quirks import Quirk, with_quirks

__all__ = [
    "AttackSettings",
    "DataSettings",
    "EvaluationSettings",
    "MethodSettings",
    "MissingSettings",
    "PartitionSettings",
    "PrivacySettings",
    "RuntimeSettings",
    "Settings",
    "SettingsError",
    "TrainingSettings",
    "TransportSettings",
]


def _known_method(name: str) -> str:
    if name not in METHODS:
        raise ValueError(f"{name!r} is not one of {', '.join(METHODS)}{nearest_name(name, METHODS)}")
    return name


def _without_repetition(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there more than once; name each once")
    return names


def _word(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"{name!r} cannot be the name of a modality; take a word, as image")
    return name


def _number_of_word(value: object) -> object:
    """Returns the number that a flag's word stands for: a choice among numbers does not convert by itself."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
Count = Annotated[int, Field(ge=1)]
NotNegativeCount = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class SettingsError(ValueError):
    """Settings that cannot be used; the message names every one of them."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Puts all problems into one message.

        Args:
            problems: One line for each.
        """
        self.problems = list(problems)
        several = [f"{len(self.problems)} settings are wrong:", *(f"  {problem}" for problem in self.problems)]
        super().__init__("\n".join(several) if len(self.problems) > 1 else self.problems[0])


@dataclass(frozen=True, config=_CONFIG)
class DataSettings:
    """The samples."""

    name: Literal["builtin", "food101", "mmimdb", "hateful_memes", "table"] = "builtin"
    """Which data set: "builtin" is the generated world; UPMC Food-101, MM-IMDb and Hateful Memes do not come along; a
    table is any folder with metadata.csv, .jsonl or .parquet, or a data set of the library datasets."""
    path: str = ""
    """Folder of the data set, or of a table also its file or its name on the hub; the built-in world needs none."""
    columns: tuple[str, ...] = ()
    """Which column is which modality (table), as image=file_name text=title+text price:table=cost+discount; kinds are
    image, text, audio, table; none named means those with usual names."""
    label: tuple[str, ...] = ()
    """The column of classes (table), or of several labels a column of yes or no for each; none means "label"."""
    split: str = ""
    """The column with train, validation or test (table); "none" for no such column; if not named, "split"."""
    client: str = ""
    """The column of natural clients, for partition.kind site (table); "none" for none; if not named, "client"."""
    rows: tuple[str, ...] = ()
    """Which rows to use (table), as speaker=lucas,theo; all of several conditions hold."""
    modalities: Annotated[tuple[Annotated[str, AfterValidator(_word)], ...], AfterValidator(_without_repetition)] = ()
    """Which of image, text, readings, or of a table's own, to use; none named means those that the backbone was trained
    for."""
    num_train: Count = 4000
    """Training samples, over all clients (built-in; other data has its own splits)."""
    num_validation: Count = 500
    """Samples that accuracy is measured on during the run (built-in)."""
    num_test: Count = 2000
    """Samples that the final table is measured on (built-in)."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training samples to set apart for validation, if the data has no validation split."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the samples to set apart for the test, if the data has neither a test nor a validation split (table)."""
    num_classes: Annotated[int, Field(ge=2, le=101)] = 8
    """Classes, 2 to 101: of food101 and mmimdb the most frequent ones, 8 as in the paper; hateful_memes has two."""
    several_labels: bool = False
    """Whether to use all 23 genres of each film (mmimdb), rather than films with one of the most frequent genres; or
    whether one column has several labels, as "red|round" or a list (table)."""
    num_sites: Count = 20
    """Natural groups of the built-in world."""
    concept_shift: Share = 0.0
    """How much sites disagree about what a dish is made of: 0 not at all, 1 means dishes of their own (built-in)."""
    world_seed: int = 0
    """Seed of the built-in world; the run's own seed does not change the samples."""


@dataclass(frozen=True, config=_CONFIG)
class PartitionSettings:
    """Which client owns which sample."""

    kind: Literal["even", "labels", "site"] = "labels"
    """Divide at random (even), by a Dirichlet distribution over labels (labels), or by natural group (site)."""
    num_clients: Count = 20
    """How many clients there are; 1 is one holder of everything."""
    alpha: Positive = 1.0
    """Concentration of the division by labels: at 0.1 a client has few labels, at 100 all have the same mix."""
    min_samples: Count = 10
    """Samples that every client has at least, when divided by labels."""


@dataclass(frozen=True, config=_CONFIG)
class MissingSettings:
    """What is missing of the training samples; the test scenario "like train" is drawn the same way."""

    kind: MechanismKind = "over-all-data"
    """Over all data (the paper's), a mix per client, whole sensors absent, or by class, seen value, group, round."""
    rate: Share = 0.7
    """Share of the samples that lack something: 0.7 means 70 % (with absent-sensors: share of the clients)."""
    lacking: Annotated[str, AfterValidator(_word)] = ANY
    """What they lack: the name of a modality, or "any": one modality each, every modality equally often."""
    alpha: Positive = 1.0
    """Concentration of the mixes of clients or groups: at 0.1 most have hardly more than one pattern."""
    strength: Annotated[float, Field(ge=-100, le=100)] = 2.0
    """By-label and by-observed: between the extremes the odds of lacking something grow exp(2 * strength) times."""
    groups: Count = 4
    """By-site: groups of clients that share a mix; where partition.kind is site, the natural sites are the groups."""


@dataclass(frozen=True, config=_CONFIG)
class MethodSettings:
    """The federated method; settings that a method does not know are ignored by it."""

    name: Annotated[str, AfterValidator(_known_method)] = "fedprime"
    """Which method: fedprime, fed-inter, fed-intra, pfpt, fedavg-p, fedprox-p, fedmsplit-p, local-p, head-only,
    fedavgm-p, fedadam-p, scaffold-p, centralized-p, centralized-pools."""
    num_prompts: Count = 10
    """Prompt tokens that enter the transformer with each sample, over all pools."""
    head: HeadKind = "pooled"
    """What reads the feature: one linear layer (linear); a pooler and one layer (pooled); a pooler and two layers,
    as in the paper's code, three times as much to send (paper)."""
    readout: Literal["summary", "blocks"] = "summary"
    """What the head reads of a sample: the summary feature, or with it a block for each modality."""
    start: Literal["random", "closed-form"] = "random"
    """Where the head starts: at random values, or in closed form from sums over all clients' samples."""
    prior_aware: bool = False
    """Whether clients add their own label frequencies to scores while they train."""
    pool_size: Count = 20
    """Prompts in each pool at the start."""
    pull_weight: NotNegative = 0.1
    """Weight of the distance between samples and their prompts in the local objective; with 0, maps of queries and keys
    would not learn, and there are none."""
    proximal_weight: NotNegative = 0.01
    """Weight of the squared distance between a client's values and those it received (fedprox-p, fedmsplit-p)."""
    server_lr: NotNegative = 0.0
    """Learning rate of the server (fedavgm-p, fedadam-p, scaffold-p); 0 for the method's own default."""
    server_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the server's earlier moves that goes on (fedavgm-p)."""
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of earlier changes in their running mean (fedadam-p)."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Share of earlier squared changes in their running mean (fedadam-p)."""
    tau: Positive = 0.001
    """Changes far below it count less: the smaller, the more adaptive the server (fedadam-p)."""
    centres_per_prompt: NotNegative = 2.0
    """Bound on the size of the aligned pool as a multiple of the pool size, at least 1; 0 for no bound."""
    likelihood: Literal["mean", "sum"] = "mean"
    """Evidence about a match: the mean over coordinates, or their sum as in the paper."""
    num_alternations: Count = 5
    """How often the server alternates between centres and matches."""
    aggregation: Aggregation = "mean"
    """How the server makes one value of the clients': the mean over samples as in the papers, or, against hostile
    clients, the median or trimmed mean of every coordinate, with one vote for each client."""
    hostile_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.3
    """Share of hostile clients to withstand: what a trimmed mean cuts at each end; with it or the median, an aligned
    prompt that no more clients share is dropped."""
    clip_norm: NotNegative = 0.0
    """Updates that move further from what was received (Euclidean norm, all values) are scaled down; 0 for no limit."""
    standardised_queries: bool = False
    """Whether queries have mean 0 and variance 1 over all samples; as in the paper (false), samples choose alike."""
    context_weight: NotNegative = 0.0
    """How much a client's own average counts in the choice of prompts, beside the sample; 0, as in the paper: not."""
    reference_quirks: Annotated[tuple[Quirk, ...], AfterValidator(_without_repetition)] = ()
    """Departures of the paper's research code to reproduce, to see what each is worth. shared_parameters: after the
    first round, clients train one after the other on one model. similarity_sign: chosen prompts are pushed away from
    their samples. batch_vote: the prompts that most samples of a batch would choose are given to all of them, at test
    too. unsynced_query: the query map starts at random and is never averaged. prompt_readout: the feature of a sample
    is the output at its first prompt. placeholder_input: what is missing is encoded as a white image, an empty text,
    readings of zero."""

    @model_validator(mode="after")
    def _check(self) -> "MethodSettings":
        if 0 < self.centres_per_prompt < 1:
            raise ValueError(
                f"centres_per_prompt is {self.centres_per_prompt}: the bound is at least 1, or 0 for no bound"
            )
        if self.context_weight > 0 and not self.standardised_queries:
            raise ValueError(
                f"context_weight is {self.context_weight}: a client's average is part of standardised queries only; "
                "set standardised_queries, or context_weight to 0"
            )
        pools = getattr(METHODS[self.name], "pools", ())
        # Otherwise fewer prompts would enter the transformer than with the method that it is compared with.
        if pools and self.num_prompts % len(pools):
            raise ValueError(
                f"num_prompts is {self.num_prompts}: {self.name} takes equally many from each of its {len(pools)} "
                f"pools; choose a multiple of {len(pools)}"
            )
        if pools and self.num_prompts > len(pools) * self.pool_size:
            raise ValueError(
                f"num_prompts is {self.num_prompts}: {self.name} has only {len(pools)} x {self.pool_size} prompts; "
                "choose fewer, or a larger pool_size"
            )
        try:
            reason = reason_against_robustness(self.built())
        except ValueError as error:
            raise ValueError(f"reference_quirks: {error}") from None
        if reason:
            raise ValueError(
                f"{self.name} cannot have aggregation {self.aggregation!r} with clip_norm {self.clip_norm:g}: {reason}"
                '; set aggregation to "mean" and clip_norm to 0'
            )
        return self

    def built(self) -> Method:
        """Returns the method, with its quirks; it takes from the settings what it knows.

        Raises:
            ValueError: If it cannot have the quirks.
        """
        method = METHODS[self.name]
        values = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(method)}
        if self.server_lr == 0:
            values.pop("server_lr", None)
        return with_quirks(method(**values), self.reference_quirks)


@dataclass(frozen=True, config=_CONFIG)
class TrainingSettings(LocalTraining):
    """The rounds, and local training in each."""

    rounds: Count = 30
    """Rounds of the run."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the clients that take part in a round; the one holder of a centralised method always does."""
    epochs: Count = 1
    """Passes over a client's samples per round."""
    batch_size: Count = 32
    """Samples per optimiser step."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """Stochastic gradient descent as in the paper, or AdamW."""
    lr: Positive = 0.01
    """Learning rate in the first round."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Momentum of SGD."""
    weight_decay: NotNegative = 0.0
    """Weight decay of either optimiser."""
    max_gradient_norm: NotNegative = 1.0
    """Longer gradients are scaled down to this norm; 0 for no limit."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """How the learning rate falls over the rounds."""
    keep_best: bool = False
    """Whether a run ends with the state that had the likeliest validation labels, instead of the last."""
    patience: NotNegativeCount = 0
    """The run ends early after as many rounds whose validation loss is not below the lowest before; 0 for never."""
    activation_checkpointing: bool = False
    """Whether layers are computed again for gradients: less memory, more time, the same result."""


@dataclass(frozen=True, config=_CONFIG)
class PrivacySettings(ClientPrivacy):
    """Differential privacy for clients: updates are clipped and noise is added before the method sees them."""

    clip_norm: NotNegative = 0.0
    """The largest norm of what a client may change in a round, over all values that travel; 0 for no privacy."""
    noise_multiplier: NotNegative = 1.0
    """Standard deviation of the noise in units of clip_norm; 0 clips and averages alike, without privacy."""
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """Probability with which the bound epsilon may be exceeded; below 1 / the number of clients."""
    secret: bool = False
    """Whether noise and the choice of clients come from the operating system. Otherwise from the seed, which is for
    experiments: who knows it can take the noise off; a run with secret noise cannot be repeated."""


@dataclass(frozen=True, config=_CONFIG)
class AttackSettings:
    """Hostile clients, simulated: to measure what they can do, and what robust aggregation does against them."""

    kind: Literal["none", "sign-flip", "scaling", "noise", "label-flip"] = "none"
    """What they send: the opposite of what they learnt, too much of it, noise, or what wrong labels taught them."""
    share: Share = 0.2
    """Share of the clients that is hostile, in every round."""
    strength: Positive = 3.0
    """Length of what they send in units of what they learnt; label-flip does not use it."""


@dataclass(frozen=True, config=_CONFIG)
class EvaluationSettings:
    """What is measured."""

    every: Count = 1
    """Rounds between measurements on the validation samples."""
    rate: Share = 0.7
    """Missing rate of the test scenario in which any modality may be missing."""
    batch_size: Count = 128
    """Samples at a time; it does not change a result, except with the quirk batch_vote."""


@dataclass(frozen=True, config=_CONFIG)
class TransportSettings:
    """How values travel between server and clients."""

    bits: Annotated[Literal[32, 16, 8], BeforeValidator(_number_of_word)] = 32
    """Bits of a value on its way: 32 as it is; 16 or 8 rounded, what was held back is sent along the next time."""


@dataclass(frozen=True, config=_CONFIG)
class RuntimeSettings:
    """Where clients live, and how long a round waits for them; the result is the same wherever they live."""

    kind: Literal["in-process", "simulation", "deployment"] = "in-process"
    """In this process, in several processes here (Flower's simulation), or at sites (`fedprime deploy server`)."""
    processes: Count = 1
    """Simulation: how many clients train at the same time, each in a process of its own."""
    deadline_seconds: Positive = 600.0
    """A client that has not answered after this time is left out of the round (not in-process)."""
    wait_seconds: Positive = 600.0
    """How long to wait for clients to connect before the first round, and later for enough of them (not in-process)."""
    quorum: Share = 0.0
    """Share of the asked clients that must send something valid; with fewer, the others are asked again."""
    repeats: NotNegativeCount = 2
    """How often they are asked again before the run stops; it can be continued from its last round."""


@dataclass(frozen=True, config=_CONFIG)
class Settings:
    """All settings of a run."""

    seed: int = 0
    """Seed of everything random in the run but the built-in samples themselves."""
    backbone: str = "auto"
    """The frozen model: "tiny" and "tiny-paired" know the built-in world, "small" real files; or a checkpoint's folder,
    its name on the hub, or a ViLT's .ckpt file. "auto" is tiny for the built-in world, else small if it is at hand."""
    max_text_tokens: NotNegativeCount = 0
    """As many word pieces of a text are read; 0 for as many as the backbone was trained for. ViLT can read more."""
    precision: Precision = "auto"
    """What the frozen model computes with: "auto" is bfloat16 where the processor multiplies it faster and the model is
    a ViLT at least 256 wide. Prompts, losses and averages are float32 always."""
    device: str = "auto"
    """Where the frozen model runs and training happens: "cpu", "cuda", "cuda:1"; "auto" is the first GPU, if any."""
    initial_model: str = ""
    """Folder of a saved model whose weights to start from; none means weights drawn from the seed."""
    threads: Count = 1
    """CPU threads of a computation; another number can change results in the last bit."""
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    partition: PartitionSettings = dataclasses.field(default_factory=PartitionSettings)
    missing: MissingSettings = dataclasses.field(default_factory=MissingSettings)
    method: MethodSettings = dataclasses.field(default_factory=MethodSettings)
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    privacy: PrivacySettings = dataclasses.field(default_factory=PrivacySettings)
    attack: AttackSettings = dataclasses.field(default_factory=AttackSettings)
    transport: TransportSettings = dataclasses.field(default_factory=TransportSettings)
    evaluation: EvaluationSettings = dataclasses.field(default_factory=EvaluationSettings)
    runtime: RuntimeSettings = dataclasses.field(default_factory=RuntimeSettings)

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        method = self.method.built()
        reason = reason_against_privacy(method) if self.privacy.is_on else ""
        if reason:
            raise ValueError(
                f"privacy: {method.name} cannot be made private: {reason}; change that, or set privacy.clip_norm to 0"
            )
        if self.privacy.is_on and self.privacy.delta * self.partition.num_clients >= 1:
            raise ValueError(
                f"privacy.delta is {self.privacy.delta}: with {self.partition.num_clients} clients a bound that may be "
                f"exceeded for one of them promises nothing; choose less than {1 / self.partition.num_clients:g}"
            )
        reason = reason_against_attack(method) if self.attack.kind != "none" else ""
        if reason:
            raise ValueError(
                f"attack.kind is {self.attack.kind!r}: {method.name} has no clients to be hostile: {reason}; set it to "
                '"none"'
            )
        known = BuiltinWorld.modalities
        if self.data.name == "builtin":
            lacking = () if self.missing.lacking == ANY else (self.missing.lacking,)
            for setting, names in (("data.modalities", self.data.modalities), ("missing.lacking", lacking)):
                unknown = [name for name in names if name not in known]
                if unknown:
                    hint = nearest_name(unknown[0], known)
                    raise ValueError(f"{setting}: {unknown[0]!r} is not one of {', '.join(known)}{hint}")
        if self.runtime.kind == "deployment" and self.attack.kind != "none":
            raise ValueError(
                f"attack.kind is {self.attack.kind!r}: an attack is simulated, and no site is asked to be hostile; set "
                'it to "none", or runtime.kind to "simulation"'
            )
        return self
