"""The plots of a report, each a function from grouped runs to drawings."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from fedprime.report.collection import Collection
from fedprime.report.compare import Block
from fedprime.report.plots.accuracy import draw_curves, draw_scenarios
from fedprime.report.plots.canvas import Drawing, house_style, save
from fedprime.report.plots.clients import draw_clients
from fedprime.report.plots.prompts import draw_prompts
from fedprime.report.plots.rounds import draw_pools, draw_rounds

__all__ = ["PLOTS", "Drawing", "house_style", "save"]

#: By the name that their files begin with: how to draw them, and why there may be none.
PLOTS: Mapping[str, tuple[Callable[[Collection, Sequence[Block]], Iterator[Drawing]], str]] = {
    "scenarios": (draw_scenarios, "there is no test scenario"),
    "curve": (draw_curves, "no axis has numbers as labels"),
    "rounds": (draw_rounds, "nothing was measured on validation samples"),
    "clients": (draw_clients, "nothing is known per client"),
    "pools": (draw_pools, "no method has a pool whose size can change"),
    "prompts": (draw_prompts, "no run recorded which prompts met and which were chosen"),
}
