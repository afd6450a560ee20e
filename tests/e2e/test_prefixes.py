"""What was read before is told in every dialect, shown to the operator, and nobody's answer is another one for it."""

from __future__ import annotations

from typing import Any

from support.live_daemon import LiveDaemon
from support.waiting import wait_until

MODEL = "qwen3"
PROMPT = [3 + number % 40 for number in range(60)]


def answered(daemon: LiveDaemon, prompt: list[int], **more: Any) -> tuple[str, int]:
    answer = daemon.complete(MODEL, prompt, max_tokens=12, temperature=0, ignore_eos=True, **more)
    document = answer.json
    return document["choices"][0]["text"], document["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_a_prompt_again_and_with_more(daemon: LiveDaemon) -> None:
    """All but the last token is known the second time; in the counts of the operator as well."""
    fresh, none = answered(daemon, PROMPT)
    again, cached = answered(daemon, PROMPT)
    assert (again, none, cached) == (fresh, 0, len(PROMPT) - 1)
    longer = [*PROMPT, 5, 6, 7]
    first, cached = answered(daemon, longer)
    assert cached == len(PROMPT)
    assert answered(daemon, longer) == (first, len(longer) - 1)
    (row,) = [row for row in daemon.control("GET", "/ps")["models"] if row["name"].endswith(MODEL)]
    assert row["prefix_tokens"] >= 3 * len(PROMPT) - 2 and row["prefix_memory"] > 0
    assert f'mlx_serve_model_prefix_tokens_total{{model="local/{MODEL}"}}' in daemon.get("/metrics").body.decode()


def test_each_dialect_says_how_much(daemon: LiveDaemon) -> None:
    """Of the same question asked in turn: OpenAI's count, Ollama's and Anthropic's."""
    words = [{"role": "user", "content": "How much of this is known already? " * 4}]
    asked = {"model": "scripted", "messages": words, "max_tokens": 4}
    daemon.post("/v1/chat/completions", **asked)
    usage = daemon.post("/v1/chat/completions", **asked).json["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached == usage["prompt_tokens"] - 1
    ollama = daemon.post("/api/chat", model="scripted", messages=words, stream=False, options={"num_predict": 4}).json
    assert (ollama["prompt_eval_count"], ollama["prompt_eval_cached_count"]) == (usage["prompt_tokens"], cached)
    anthropic = daemon.post("/v1/messages", **asked).json["usage"]
    assert (anthropic["cache_read_input_tokens"], anthropic["input_tokens"]) == (cached, 1)
    started = daemon.stream("/v1/messages", **asked).rest().records[0]["message"]["usage"]
    assert (started["cache_read_input_tokens"], started["input_tokens"]) == (cached, 1)
    responses = daemon.post("/v1/responses", model="scripted", input=words, max_output_tokens=16).json["usage"]
    assert responses["input_tokens_details"]["cached_tokens"] == cached


def test_the_log_says_why_a_prompt_is_read_again(daemon: LiveDaemon) -> None:
    """One line a request, with numbers and no word of it."""
    prompt = [5 + number % 50 for number in range(500)]
    answered(daemon, prompt)
    answered(daemon, [*prompt[:100], *range(60, 260)])
    said = f" model=local/{MODEL} known=511 common=100 reused=100 reason=diverged at token 100"

    def lines() -> list[str]:
        return [line for line in daemon.log("read prompt again") if line.endswith(said)]

    wait_until(lines, "the log has the line")
    assert len(lines()) == 1
