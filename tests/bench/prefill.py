"""Measures prefill through the daemon with and without OpenBLAS (Linux CPU; tiny shape, float32).

usage: prefill.py [--prompt-words 290] [--repeats 5] [--json FILE]
Each request asks for one token after a prompt that shares no prefix with any other, so its time is prefill's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import ceiling
import openblas
import servers
from load import stream, text
from make_model import make_model


async def rate(server: servers.Server, words: int, repeats: int) -> dict[str, Any]:
    """Prompt tokens per second of the whole request, median over the repeats after one to warm up."""
    source, found = random.Random(1), []
    async with aiohttp.ClientSession() as session:
        for _ in range(repeats + 1):
            answer = await stream(session, server.url, server.model, text(source, words), 1)
            found.append((answer.prompt_tokens / answer.total, answer.prompt_tokens))
    measured = found[1:]
    return {
        "prompt_tokens": round(statistics.median(tokens for _, tokens in measured)),
        "tok_s": round(statistics.median(speed for speed, _ in measured), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt-words", type=int, default=290)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"openblas": openblas.find()}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        make_model(folder, "tiny", dtype="float32")
        ways: dict[str, dict[str, str]] = {"as installed": {}}
        if results["openblas"]:
            ways["without OpenBLAS"] = openblas.hidden(Path(parent))
        for way, environ in ways.items():
            with servers.ours(folder, environ=environ) as server:
                results[way] = asyncio.run(rate(server, arguments.prompt_words, arguments.repeats))
            print(f"{way}: {results[way]['tok_s']} tokens/s (prompts of {results[way]['prompt_tokens']} tokens)")
        bare = ceiling.run(folder, "1", results["as installed"]["prompt_tokens"], 4)[1]["prefill_tok_s"]
        results["bare loop"] = {"tok_s": bare}
        print(f"MLX alone: {bare} tokens/s (the same prompt, no server, no tokenizer)")
    if not results["openblas"]:
        print("no OpenBLAS found: there is nothing to compare with")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
