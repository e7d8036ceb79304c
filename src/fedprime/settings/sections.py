"""Every setting of a run but the method's own: typed, named, explained, bounded; they load nothing heavy."""

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from fedprime.data.missingness.kinds import ANY, MechanismKind
from fedprime.federation.training_options import LocalTraining, PrivacyOptions
from fedprime.reproducibility.ranges import Count, NotNegative, NotNegativeCount, Positive, Share
from fedprime.settings.data_settings import CONFIG, DataSettings, ModalityName


def _number_of_word(value: object) -> object:
    """Returns the number that a flag's word stands for: a choice among numbers does not convert by itself."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


#: What is set beside the fields of a method that comes along.
QUIRKS_SETTING = "reference_quirks"
#: What is set beside the fields of any method.
PAPER_SETTING = "paper"


@dataclass(frozen=True, config=CONFIG)
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


@dataclass(frozen=True, config=CONFIG)
class MissingSettings:
    """What is missing of the training samples; the test scenario "like train" is drawn the same way."""

    kind: MechanismKind = "over-all-data"
    """Over all data (the paper's), a mix per client, whole sensors absent, or by class, seen value, group, round."""
    rate: Share = 0.7
    """Share of the samples that lack something: 0.7 means 70 % (with absent-sensors: share of the clients)."""
    lacking: ModalityName = ANY
    """What they lack: the name of a modality, or "any": one modality each, every modality equally often."""
    alpha: Positive = 1.0
    """Concentration of the mixes of clients or groups: at 0.1 most have hardly more than one pattern."""
    strength: Annotated[float, Field(ge=-100, le=100)] = 2.0
    """By-label and by-observed: between the extremes the odds of lacking something grow exp(2 * strength) times."""
    groups: Count = 4
    """By-site: groups of clients that share a mix; where partition.kind is site, the natural sites are the groups."""


@dataclass(frozen=True, config=CONFIG)
class TrainingSettings(LocalTraining):
    """The rounds, and local training in each."""

    rounds: Count = 30
    """Rounds of the run."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the clients that take part in a round; the one holder of a centralised method always does."""
    keep: Literal["auto", "best", "last"] = "auto"
    """Which round's state a run ends with: the one whose validation labels were likeliest, or the last. "auto" is the
    best where the head starts in closed form, so that training never ends below its start."""
    patience: NotNegativeCount = 0
    """The run ends early after as many rounds whose validation loss is not below the lowest before; 0 for never."""
    activation_checkpointing: bool = False
    """Whether layers are computed again for gradients: less memory, more time, the same result."""


@dataclass(frozen=True, config=CONFIG)
class PrivacySettings(PrivacyOptions):
    """Differential privacy for clients: updates are clipped and noise is added before the method sees them."""


@dataclass(frozen=True, config=CONFIG)
class AttackSettings:
    """Hostile clients, simulated: to measure what they can do, and what robust aggregation does against them."""

    kind: Literal["none", "sign-flip", "scaling", "noise", "label-flip"] = "none"
    """What they send: the opposite of what they learnt, too much of it, noise, or what wrong labels taught them."""
    share: Share = 0.2
    """Share of the clients that is hostile, in every round."""
    strength: Positive = 3.0
    """Length of what they send in units of what they learnt; label-flip does not use it."""


@dataclass(frozen=True, config=CONFIG)
class EvaluationSettings:
    """What is measured."""

    every: Count = 1
    """Rounds between measurements on the validation samples."""
    rate: Share = 0.7
    """Missing rate of the test scenario in which any modality may be missing."""
    batch_size: Count = 128
    """Samples at a time; it does not change a result, except with the quirk batch_vote."""


@dataclass(frozen=True, config=CONFIG)
class TransportSettings:
    """How values travel between server and clients."""

    bits: Annotated[Literal[32, 16, 8], BeforeValidator(_number_of_word)] = 32
    """Bits of a value on its way: 32 as it is; 16 or 8 rounded, what was held back is sent along the next time."""


@dataclass(frozen=True, config=CONFIG)
class RuntimeSettings:
    """Where clients live, and how long a round waits for them; the result is the same wherever they live."""

    kind: Literal["in-process", "simulation", "deployment"] = "in-process"
    """In this process, in several processes here (Flower's simulation), or at sites (`fedprime deploy server`)."""
    processes: Count = 1
    """Simulation: how many clients train at the same time, each in a process of its own."""
    stacked_clients: Literal["auto"] | Count = "auto"
    """In process: how many clients train in one pass of the frozen model at most; 1 is one after the other. "auto" is
    several where this processor gives each the same weights to the bit as alone."""
    deadline_seconds: Positive = 600.0
    """A client that has not answered after this time is left out of the round (not in-process)."""
    wait_seconds: Positive = 600.0
    """How long to wait for clients to connect before the first round, and later for enough of them (not in-process)."""
    quorum: Share = 0.0
    """Share of the asked clients that must send something valid; with fewer, the others are asked again."""
    repeats: NotNegativeCount = 2
    """How often they are asked again before the run stops; it can be continued from its last round."""
    statistics: Literal["shared", "all", "none"] = "shared"
    """Which saved models carry sums over training samples, for `fedprime merge`: the shared one, those of single
    clients too, or none; with privacy, none does."""
    allow_absent: bool = False
    """Whether a run ends with exit code 0 although a client never answered; without it, with 3."""
    max_step: NotNegative = 1000.0
    """A client whose step is more than this many times as long as the others' (median) is left out of the round; 0 for
    any length. Steps no longer than all trained values together always count. With 0, one client can say anything in
    the start, too; see docs/reliability.md."""
    max_samples: NotNegativeCount = 0
    """Deployment: a site counts as at most as many samples; 0 for ten times the median of the sites of the round."""
    max_loss: NotNegative = 20.0
    """A round is rejected if its validation loss is not finite, or more than this many times the last one (or that of
    guessing, if that is more); 0 for any loss."""
    keep: Count = 3
    """As many last checkpoints are kept: where the newest is broken, a run goes on from the one before."""


@dataclass(frozen=True, config=CONFIG)
class PlainSettings:
    """All settings of a run, of which the method is not looked at: that would load its class."""

    seed: int = 0
    """Seed of everything random in the run but the built-in samples themselves."""
    backbone: str = "auto"
    """The frozen model: "tiny" and "tiny-paired" know the built-in world, "small" real files; or a checkpoint's folder,
    its name on the hub, or a ViLT's .ckpt file. "auto" is tiny for the built-in world, else small if it is at hand."""
    max_text_tokens: NotNegativeCount = 0
    """As many word pieces of a text are read; 0 for as many as the backbone was trained for. ViLT can read more."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
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
    method: Any = dataclasses.field(default_factory=dict)
    """The federated method by name, with its own settings, which this class does not look at."""
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    privacy: PrivacySettings = dataclasses.field(default_factory=PrivacySettings)
    attack: AttackSettings = dataclasses.field(default_factory=AttackSettings)
    transport: TransportSettings = dataclasses.field(default_factory=TransportSettings)
    evaluation: EvaluationSettings = dataclasses.field(default_factory=EvaluationSettings)
    runtime: RuntimeSettings = dataclasses.field(default_factory=RuntimeSettings)
