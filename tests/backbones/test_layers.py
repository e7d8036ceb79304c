"""Which layers prompts can enter before; that backbones run in parts as whole is in `test_backbone`."""

import pytest

from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.layers import check_layers
from fedprime.reproduction.reading import ReferenceBackbone


@pytest.mark.parametrize(("first", "depth"), [(0, 1), (0, 3), (1, 2), (2, 1)])
def test_prompts_enter_before_any_layer_that_there_is(first: int, depth: int, tiny: Backbone):
    check_layers(tiny, first, depth)


@pytest.mark.parametrize(("first", "depth"), [(3, 1), (-1, 1), (0, 4), (1, 3), (0, 0)])
def test_other_layers_are_refused_in_one_line_that_says_which_there_are(first: int, depth: int, tiny: Backbone):
    expected = (
        rf"^prompt_layer is {first} and deep_prompts {depth}; the backbone 'tiny' has 3 layers: "
        r"prompt_layer can be 0 to 2, and deep_prompts 1 to 3 less prompt_layer$"
    )
    with pytest.raises(BackboneError, match=expected):
        check_layers(tiny, first, depth)


def test_a_backbone_that_runs_in_one_piece_says_so(tiny: Backbone):
    around = ReferenceBackbone(tiny, ["prompt_readout"])
    check_layers(around, 0, 1)
    with pytest.raises(BackboneError, match=r"'tiny' \(ReferenceBackbone\) runs its layers in one piece.*set 0 and 1$"):
        check_layers(around, 1, 1)
