"""The verb ``merge`` of the command line: saved models of sites become one."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fedprime.cli.stopping import importing


@dataclass(frozen=True)
class _MergeOptions:
    """Merges models that sites trained alone, without a server: from their files."""

    models: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="MODEL ...")]
    """Folders of saved models, or of finished runs: at least two."""
    output: Path
    """Where to save the merged model."""
    prompts: Literal["align", "average"] = "align"
    """Whether prompts are matched by what they are, or averaged by position, for models that started equal."""


def merge(words: list[str]) -> int:
    """Merges saved models, and returns the exit code."""
    options = tyro.cli(_MergeOptions, args=words, prog="fedprime merge", config=(tyro.conf.FlagCreatePairsOff,))
    with importing():
        from fedprime.runs.merging import merge_models
    merged = merge_models(options.models, options.output, prompts=options.prompts)
    for note in merged.notes:
        print(f"fedprime: {note}", file=sys.stderr)
    samples = "" if merged.num_samples is None else f" of {merged.num_samples} samples"
    print(f"{len(options.models)} models{samples} merged in {merged.folder}")
    return 0
