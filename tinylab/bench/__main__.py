"""`python -m tinylab.bench` is `tinylab bench`."""

import sys

from tinylab.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
