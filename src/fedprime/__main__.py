"""The command line as ``python -m fedprime``."""

import sys

from fedprime.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
