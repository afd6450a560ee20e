"""The peer of bench/embed.py: Sentence Transformers in a process of its own, told by lines of JSON what to encode.

Runs in an environment of its own, with torch: it imports nothing of this program.
"""

from __future__ import annotations

import json
import sys
import time

from sentence_transformers import SentenceTransformer


def main() -> None:
    model = SentenceTransformer(sys.argv[1], device="cpu")
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        texts, times = order["texts"], []
        began = time.perf_counter()
        while (started := time.perf_counter()) - began < order["seconds"]:
            place = len(times) * order["at_once"] % len(texts)
            model.encode(texts[place : place + order["at_once"]], batch_size=order["at_once"])
            times.append(time.perf_counter() - started)
        print(json.dumps({"seconds": time.perf_counter() - began, "times": times}), flush=True)


if __name__ == "__main__":
    main()
