"""The command line as a module."""

import subprocess
import sys
from importlib.metadata import version


def test_the_module_is_the_command_line():
    done = subprocess.run((sys.executable, "-m", "fedprime", "--version"), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == version("fedprime")
