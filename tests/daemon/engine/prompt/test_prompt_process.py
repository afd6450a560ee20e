"""The prompt process as the engine has it: one result for each request, whoever hangs, leaves or dies meanwhile."""

from __future__ import annotations

import json
import queue
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.engine_wire import model_data, prompts_of
from support.live_daemon import wait_until
from support.waiting import GUARD
from transformers import AutoTokenizer

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prompt.prompt_frames import ModelData, pack
from mlx_serve.daemon.engine.prompt.prompt_process import PromptProcess, Ready
from mlx_serve.daemon.engine.prompt.text.encoding import tokenizer_data
from mlx_serve.daemon.protocol import (
    Ask,
    ChatPrompt,
    Count,
    Counted,
    Generate,
    Prompt,
    Rejected,
    TextPrompt,
    TokenPrompt,
)

IMPATIENT = (
    sys.executable,
    "-c",
    "from mlx_serve.daemon.engine.prompt import deadline; deadline.DEADLINE_SECONDS = 1.0; "
    "from mlx_serve.daemon.engine.prompt.main import main; main()",
)
"""A prompt process whose requests have a second in place of five, all of which an endless template would take."""
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


class Client:
    """A prompt process and what it has delivered."""

    def __init__(self, **options: Any) -> None:
        self.results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.prompts = PromptProcess(self.results.put, **options)
        self._last = 0

    def ask(self, prompt: Prompt, **options: Any) -> int:
        self._last += 1
        self.prompts.put(Ask(id=self._last, work=Generate(prompt=prompt, **options)))
        return self._last

    def result(self) -> Any:
        return self.results.get(timeout=GUARD)

    def answer(self, number: int) -> Any:
        """The next result, which is this request's."""
        result = self.result()
        assert result.id == number
        assert self.prompts.claim(number)
        return result

    @property
    def process(self) -> psutil.Process:
        def found() -> list[psutil.Process]:
            mine = psutil.Process().children()
            return [each for each in mine if any("engine.prompt.main" in word for word in cmdline(each))]

        return wait_until(found, "the prompt process is there")[0]

    def workers(self) -> set[int]:
        return {each.pid for each in self.process.children()}


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def chat(template: str, text: str = "x") -> ChatPrompt:
    return ChatPrompt(messages=({"role": "user", "content": text},), template=template)


@pytest.fixture(scope="module")
def begun(llama: LanguageModel) -> Iterator[Client]:
    client = Client(command=IMPATIENT)
    client.prompts.use_tokenizer(llama.tokenizer, "", {})
    client.prompts.use_model(model_data(llama))
    process = client.process
    yield client
    client.prompts.close()
    wait_until(lambda: not process.is_running(), "the prompt process has ended")


@pytest.fixture
def client(begun: Client) -> Iterator[Client]:
    yield begun
    assert begun.prompts.busy == 0
    assert begun.results.empty()


@pytest.mark.parametrize(
    "prompt",
    [TextPrompt(text="hello the"), TokenPrompt(ids=(1, 2, 3)), chat("{{ messages[0].content }}", "hi <|im_end|>")],
    ids=lambda prompt: type(prompt).__name__,
)
def test_a_prompt_is_what_it_is_in_this_process(client: Client, llama: LanguageModel, prompt: Prompt) -> None:
    request = Generate(prompt=prompt, max_tokens=5, render_only=True)
    ready = client.answer(client.ask(prompt, max_tokens=5, render_only=True))
    assert ready == Ready(ready.id, prompts_of(llama).prepare(request))


def test_counting_goes_the_same_way(client: Client) -> None:
    number = client.ask(TextPrompt(text="hello 1"))
    tokens = client.answer(number).prepared.tokens
    for number, work, expected in (
        (1001, Count(prompts=(TextPrompt(text="hello 1"),) * 2, return_tokens=True), (pack(tokens),) * 2),
        (1002, Count(prompts=(TextPrompt(text="hello 1"),) * 2), ()),
    ):
        client.prompts.put(Ask(id=number, work=work))
        assert client.answer(number) == Counted(id=number, counts=(len(tokens),) * 2, tokens=expected)


def test_refusals_are_frames(client: Client) -> None:
    refused = client.answer(client.ask(TokenPrompt(ids=(-1,))))
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.param) == ("invalid_request", "prompt")


def test_who_hangs_holds_nobody_up(client: Client) -> None:
    """Other prompts are prepared while two templates run for ever, and those two are refused at their deadline."""
    hanging = {client.ask(chat(ENDLESS)) for _ in range(2)}
    for _ in range(20):
        client.answer(client.ask(TextPrompt(text="hello")))
    assert client.prompts.busy == 2
    for _ in range(2):
        late = client.result()
        assert client.prompts.claim(late.id)
        hanging.remove(late.id)
        assert (late.code, late.param) == ("template_error", "messages")
        assert late.message == "the chat template took longer than 1 s on these messages"


def test_who_leaves_is_not_prepared_any_longer(client: Client) -> None:
    """The worker that is at it is ended, a request that waits is never begun, and nothing of either comes back."""
    client.answer(client.ask(TextPrompt(text="a worker is there")))
    before = client.workers()
    hanging = [client.ask(chat(ENDLESS)) for _ in range(6)]
    wait_until(lambda: len(client.workers()) == 4, "all the workers there may be are at it")
    working = client.workers()
    assert before <= working
    for number in hanging:
        assert client.prompts.cancel(number)
        assert not client.prompts.claim(number)
    assert not client.prompts.cancel(hanging[0])
    wait_until(lambda: not working & client.workers(), "they are ended")
    client.answer(client.ask(TextPrompt(text="hello")))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory")
def test_memory_is_bounded_before_it_is_taken(client: Client) -> None:
    refused = client.answer(client.ask(chat("{{ ('x' * 10**10) | length }}")))
    assert (refused.code, refused.param) == ("template_error", "messages")
    assert "memory" in refused.message


def test_another_process_takes_over_what_has_no_answer(client: Client) -> None:
    """When it is killed: what it was at begins anew, its workers go with it."""
    client.answer(client.ask(TextPrompt(text="there")))
    process = client.process
    workers = process.children()
    hanging = client.ask(chat(ENDLESS))
    client.answer(client.ask(TextPrompt(text="hello")))
    process.kill()
    client.answer(client.ask(TextPrompt(text="hello")))
    assert client.process != process
    wait_until(lambda: not any(worker.is_running() for worker in workers), "its workers have ended")
    assert client.answer(hanging).code == "template_error"


@pytest.mark.parametrize("command", [(sys.executable, "-c", "raise SystemExit(3)"), ("/nowhere/python",)])
def test_one_that_never_starts_is_an_error_with_a_reason(
    command: tuple[str, ...], llama: LanguageModel, capfd: pytest.CaptureFixture[str]
) -> None:
    """For every request, also for those that come later; the log has the reason once."""
    client = Client(command=command)
    client.prompts.use_tokenizer(llama.tokenizer, "", {})
    for _ in range(3):
        rejected = client.answer(client.ask(TextPrompt(text="hello")))
        assert rejected.code == "internal_error"
        assert "mlx-serve logs" in rejected.message
    said = capfd.readouterr().err
    assert said.count("prompts cannot be prepared") == 1
    assert "exit status 3" in said or "No such file" in said
    client.prompts.close()


def test_a_tokenizer_that_is_code_of_transformers(tmp_path: Path) -> None:
    """The process loads it from its folder, for it cannot be sent."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer_data(tokenizer).backend is None
    client = Client()
    client.prompts.use_tokenizer(tokenizer, str(tmp_path), {})
    client.prompts.use_model(ModelData(rows=len(tokenizer), context_length=512))
    ready = client.answer(client.ask(TextPrompt(text="hello é")))
    assert ready.prepared.tokens == tokenizer("hello é")["input_ids"]
    ready = client.answer(client.ask(chat("{{ messages[0].content }}</s>", "say </s>")))
    assert ready.prepared.tokens.count(tokenizer.eos_token_id) == 1
    client.prompts.close()
