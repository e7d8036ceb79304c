"""The command line, as ``fedprime`` and as ``python -m fedprime``."""

import sys

from fedprime.cli.stopping import importing

with importing():
    from fedprime.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
