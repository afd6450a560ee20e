"""`python -m mlx_serve` is the `mlx-serve` command."""

import sys

from .control.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
