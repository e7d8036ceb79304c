"""Which backbone an experiment is around, and what it reads of the data."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from fedprime.backbones import SMALL, TINY, load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.backbones.small_weights import lacking_weights
from fedprime.data.sources import SampleSource
from fedprime.experiment.embedded_data import opened_source
from fedprime.experiment.reading_kinds import reading_kinds
from fedprime.settings.settings import Settings

_logger = logging.getLogger(__name__)


def chosen_backbone(settings: Settings, source: SampleSource | None = None) -> str:
    """Returns the name of the backbone: what the settings say, or for "auto" what suits the data and is at hand.

    Args:
        source: The data set, where it is open; else it is looked into where an encoder is absent that it may not need.

    Raises:
        DataError: If the data set cannot be found, read or used.
    """
    if settings.backbone != "auto":
        return settings.backbone
    data, needed = settings.data, ("image", "text")
    if data.name == "builtin":
        return TINY
    if lacking_weights(needed) and (source is not None or data.path):
        kinds = reading_kinds(opened_source(data) if source is None else source)
        needed = tuple(kinds.get(own, own) for own in data.modalities or kinds)
    return TINY if lacking_weights(needed) else SMALL


def backbone_for_data(
    settings: Settings, source: SampleSource | None, *, at_site: bool
) -> tuple[Backbone, SampleSource | None]:
    """Loads the backbone; where the data decides what it reads, the data set is opened first, and returned too.

    Args:
        at_site: Whether all samples are those of one site, which reads what all others read.

    Raises:
        DataError: If the data set cannot be found, read or used.
        BackboneError: If the backbone cannot be loaded.
    """
    settings, modalities = replace(settings, backbone=chosen_backbone(settings, source)), settings.data.modalities
    if settings.backbone == SMALL:
        source = opened_source(settings.data) if source is None else source
        kinds = reading_kinds(source)
        # A modality that the data lacks is told by whoever joins the two.
        known = {modality: kinds.get(modality, modality) for modality in modalities or source.modalities}
        return configured_backbone(settings, tuple(known), ",".join(known.values())), source
    backbone = configured_backbone(settings, modalities)
    if modalities or at_site or (source is None and settings.data.name != "table"):
        return backbone, source
    source = opened_source(settings.data) if source is None else source
    if set(source.modalities) < set(backbone.modalities):  # all that there is, it reads
        shared = tuple(modality for modality in backbone.modalities if modality in source.modalities)
        absent = ", ".join(modality for modality in backbone.modalities if modality not in shared)
        _logger.warning(
            "the data has no %s; the backbone %s reads %s alone", absent, settings.backbone, ", ".join(shared)
        )
        backbone = configured_backbone(settings, shared)
    return backbone, source


def configured_backbone(settings: Settings, modalities: Sequence[str], kinds: str = "") -> Backbone:
    """Loads the backbone as the settings say.

    Args:
        kinds: What each is, for a backbone that reads whatever the data has.

    Raises:
        BackboneError: If it cannot be loaded.
    """
    return load_backbone(
        chosen_backbone(settings),
        modalities,
        settings.max_text_tokens,
        settings.precision,
        settings.device,
        kinds=kinds,
        activation_checkpointing=settings.training.activation_checkpointing,
    )
