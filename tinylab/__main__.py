"""`python -m tinylab` is the command line."""

import sys

from tinylab.cli import main

if __name__ == "__main__":
    sys.exit(main())
