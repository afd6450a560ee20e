"""The test hub as a process of its own: prints its address, and for every line read the bytes of files sent.

usage: main.py --folder FOLDER [--port PORT]      every FOLDER/owner/name is a repository
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fakes.hub.server import Hub


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    with Hub(arguments.folder, port=arguments.port) as hub:
        print(hub.url, flush=True)
        for _ in sys.stdin:
            print(hub.bytes_sent, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
