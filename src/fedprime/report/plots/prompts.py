"""The prompt map: whose prompts met in which centre, how many moved, and which prompts each pattern chooses."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from fedprime.report.collection import Collection, in_words
from fedprime.report.compare import Block
from fedprime.report.finished_runs import PromptRecord
from fedprime.report.plots.canvas import WIDTH, Drawing, round_ticks, slug

# Nobody, a prompt that began where most of the centre's prompts began, one that came from elsewhere.
_MET = ListedColormap(["#f0f0f0", "#0072b2", "#e69f00"])
_STAYED, _CAME = 1, 2
_LEGEND = 0.45  # inches below a panel, under its label


def draw_prompts(collection: Collection, blocks: Sequence[Block]) -> Iterator[Drawing]:
    """Draws a prompt map for each cell of the first block that has one, of one seed."""
    del collection
    mapped = [
        (block, cell, run.results.seed, run.prompts)
        for block in blocks
        for cell in block.cells
        for run in cell.runs
        if run.prompts is not None and _is_known(run.prompts)
    ]
    strongest = max((_shares(of).max() for *_, record in mapped for of in record.usage.values()), default=1.0)
    for block, cell, seed, record in mapped:
        if block is mapped[0][0]:
            title = ", ".join(filter(None, [cell.label, in_words(block.labels), f"seed {seed}"]))
            says = (
                f"Prompt map of {title}: centres in which prompts met in the last round, prompts that parted from most "
                "that began as they did, prompts chosen by samples of each pattern"
            )
            yield Drawing(f"prompts-{slug(cell.label)}", says, _draw(record, title, strongest))


def _is_known(record: PromptRecord) -> bool:
    """Says whether there is anything to draw: a prompt that met another, moved, or was chosen."""
    met = any(centre is not None for clients in record.matches.values() for own in clients for centre in own)
    return met or any(sum(counts) for by_pattern in record.usage.values() for counts in by_pattern.values())


def _has_moved(record: PromptRecord) -> bool:
    return any(share for shares in record.moved.values() for share in shares)


def _shares(by_pattern: Mapping[str, Sequence[int]]) -> np.ndarray:
    """Returns by pattern how often each prompt was chosen, in % of all choices."""
    shares = np.zeros((len(by_pattern), max(map(len, by_pattern.values()))))
    for row, counts in enumerate(by_pattern.values()):
        shares[row, : len(counts)] = 100 * np.array(counts) / max(1, sum(counts))
    return shares


def _draw(record: PromptRecord, title: str, strongest: float) -> Figure:
    heights = [max(2.2, min(4.4, 1.3 + 0.15 * len(clients))) for clients in record.matches.values()]
    heights += [2.2] if _has_moved(record) else []
    heights += [1.3 + 0.22 * len(by_pattern) for by_pattern in record.usage.values()]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.4), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    panels = iter(figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0])
    for pool, clients in record.matches.items():
        _draw_matches(next(panels), pool, clients)
    if _has_moved(record):
        panel = next(panels)
        for pool, shares in record.moved.items():
            known = [(number + 1, 100 * share) for number, share in enumerate(shares) if share is not None]
            panel.plot([x for x, _ in known], [y for _, y in known], marker="o", markersize=3, label=_short(pool))
        panel.set_ylim(bottom=0)
        panel.set_xlabel("round")
        panel.set_ylabel("prompts that moved, %")
        panel.set_title("moved: in another centre than most that began in its place")
        panel.xaxis.set_major_locator(round_ticks())
        if len(record.moved) > 1:
            panel.legend()
    for pool, by_pattern in record.usage.items():
        _draw_usage(figure, next(panels), pool, by_pattern, strongest)
    return figure


def _short(pool: str) -> str:
    return f"{pool.removeprefix('pools.')} pool"


def _draw_matches(panel: Axes, pool: str, clients: Sequence[Sequence[int | None]]) -> None:
    num_centres = 1 + max((centre for centres in clients for centre in centres if centre is not None), default=0)
    matched = [
        (client, place, centre)
        for client, centres in enumerate(clients)
        for place, centre in enumerate(centres)
        if centre is not None
    ]
    # By place in the pool, the centre where most clients' prompts of that place went.
    counts = np.zeros((max(map(len, clients)), num_centres))
    for _, place, centre in matched:
        counts[place, centre] += 1
    usual = counts.argmax(axis=1)
    met = np.zeros((len(clients), num_centres))
    for client, place, centre in matched:
        met[client, centre] = _STAYED if usual[place] == centre else _CAME
    panel.imshow(met, aspect="auto", cmap=_MET, vmin=0, vmax=2, interpolation="nearest")
    panel.grid(visible=False)
    panel.set_title(f"{_short(pool)}: where prompts met in the last round")
    panel.set_xlabel("centre")
    panel.set_ylabel("client that took part")
    panel.xaxis.set_major_locator(round_ticks())
    panel.yaxis.set_major_locator(round_ticks())
    names = ("no prompt", "prompt as of most clients", "prompt that moved")
    handles = [Patch(color=_MET(number), label=name) for number, name in enumerate(names)]
    below = panel.transAxes + ScaledTranslation(0, -_LEGEND, panel.figure.dpi_scale_trans)
    panel.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, ncols=3)


def _draw_usage(
    figure: Figure, panel: Axes, pool: str, by_pattern: dict[str, tuple[int, ...]], strongest: float
) -> None:
    shares = _shares(by_pattern)
    image = panel.imshow(shares, aspect="auto", cmap="Greys", vmin=0, vmax=strongest, interpolation="nearest")
    figure.colorbar(image, ax=panel, label="of choices, %", pad=0.02)
    panel.set_yticks(range(len(by_pattern)), list(by_pattern))
    panel.grid(visible=False)
    panel.set_title(f"{_short(pool)}: which prompts samples with each pattern choose")
    panel.set_xlabel("prompt")
    panel.xaxis.set_major_locator(round_ticks())
