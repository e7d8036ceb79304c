"""What alignment holds beside the prompts that it is given: one copy in double precision, and little more."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# A process of its own: what others left free in memory would be used first, and not be counted.
MEASURED = """
from pathlib import Path
import torch
from fedprime.methods.aggregation.alignment import align

def mebibytes(name):
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024

torch.set_num_threads(1)
rng = torch.Generator()
align([torch.randn(4, 768, generator=rng) for _ in range(3)], rng=rng)  # what is imported and made once
prompts = [torch.randn(20, 768, generator=rng) for _ in range(1000)]
before = mebibytes("VmRSS")
align(prompts, rng=rng, num_alternations=2)
print((mebibytes("VmHWM") - before) / (1000 * 20 * 768 * 8 / 2**20))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_alignment_holds_at_most_1_3_times_the_prompts_in_double_precision():
    done = subprocess.run((sys.executable, "-c", MEASURED), capture_output=True, text=True, check=True)
    assert 1 <= float(done.stdout) <= 1.3
