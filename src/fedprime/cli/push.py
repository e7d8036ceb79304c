"""The verb ``push`` of the command line: a saved model goes to the hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fedprime.cli.stopping import importing


@dataclass(frozen=True)
class _PushOptions:
    """Saves a model to the hub of Hugging Face, or to the one that HF_ENDPOINT names.

    Weights, card and a backbone that lies in files go; statistics of training samples stay here.
    """

    model: tyro.conf.Positional[Path]
    """Folder of a saved model, or of a finished run."""
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OWNER/NAME")]
    """Its name on the hub; made if it is not there."""
    private: bool = False
    """Make it private, if it is made."""
    message: Annotated[str, tyro.conf.arg(metavar="TEXT")] = "Save a model of fedprime"
    """Of the commit."""
    backbone: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Where the frozen model lies now, if not where the model says."""


def push(words: list[str]) -> int:
    """Pushes a model to the hub, and returns the exit code."""
    options = tyro.cli(_PushOptions, args=words, prog="fedprime push", config=(tyro.conf.FlagCreatePairsOff,))
    with importing():
        from fedprime.models.model_card import CARD, is_untouched
        from fedprime.models.model_folder import find_model
        from fedprime.models.prompted_model import PromptedModel
    folder = find_model(options.model)
    model = PromptedModel.from_pretrained(folder, options.backbone)
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else None
    texts = {} if card is None or is_untouched(card) else {CARD: card}
    print(model.push_to_hub(options.name, private=options.private, message=options.message, texts=texts))
    return 0
