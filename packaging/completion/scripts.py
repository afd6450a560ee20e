"""The completion scripts of bash, zsh and fish, made from the command's own parser: `python scripts.py FOLDER`.

They have the names under which each shell finds them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from mlx_serve.control.cli.commands.completion import script

NAMES = {"bash": "mlx-serve.bash", "zsh": "_mlx-serve", "fish": "mlx-serve.fish"}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: scripts.py FOLDER", file=sys.stderr)
        return 2
    for shell, name in NAMES.items():
        (Path(arguments[0]) / name).write_text(f"{script(shell)}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
