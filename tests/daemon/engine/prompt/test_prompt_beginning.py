"""What a prompt process does before its model is known: all that needs only the tokenizer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from support.engine_wire import model_data
from support.waiting import GUARD

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prompt import environment
from mlx_serve.daemon.engine.prompt import main as prompt_main
from mlx_serve.daemon.engine.prompt.prompt_frames import body, send
from mlx_serve.daemon.engine.prompt.refused import Refused
from mlx_serve.daemon.engine.prompt.render import Prompts
from mlx_serve.daemon.engine.prompt.text.encoding import tokenizer_data
from mlx_serve.daemon.protocol import ChatPrompt, Generate

Begun = Callable[..., tuple[list[str], list[str], Any]]

TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}"


@pytest.fixture
def begun(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> Begun:
    """Runs what the process begins with, for a tokenizer with these templates: what is compiled until the model is
    waited for, what in all, and what comes of it."""

    def run(template: Any) -> tuple[list[str], list[str], Any]:
        environment.compiled.cache_clear()
        compiled: list[str] = []
        make = environment.Template.__init__

        def noted(self: environment.Template, source: str) -> None:
            compiled.append(source)
            make(self, source)

        monkeypatch.setattr(environment.Template, "__init__", noted)
        monkeypatch.setattr(prompt_main.gc, "freeze", lambda: None)
        ours, theirs = socket.socketpair()
        found: list[Any] = []
        with ours, theirs:
            thread = threading.Thread(target=lambda: found.append(prompt_main._prompts(theirs)))
            waiting = threading.Event()
            receive = prompt_main._receive

            def received(sock: socket.socket, decoder: Any) -> Any:
                if decoder is prompt_main._models:
                    waiting.set()
                return receive(sock, decoder)

            monkeypatch.setattr(prompt_main, "_receive", received)
            thread.start()
            send(ours, body(replace(tokenizer_data(llama.tokenizer), template=template)))
            assert waiting.wait(GUARD)
            before = list(compiled)
            send(ours, body(model_data(llama)))
            thread.join(GUARD)
        return before, compiled, found[0]

    return run


def test_templates_are_compiled_while_the_weights_are_read(begun: Begun) -> None:
    """And none of them twice."""
    before, compiled, prompts = begun(TEMPLATE)
    assert before == compiled == [TEMPLATE] and isinstance(prompts, Prompts)
    request = Generate(prompt=ChatPrompt(messages=({"role": "user", "content": "hello"},)), render_only=True)
    assert prompts.prepare(request).rendered == "hello "
    assert begun({"default": TEMPLATE, "tool_use": TEMPLATE + "!"})[0] == [TEMPLATE, TEMPLATE + "!"]
    assert begun(None)[0] == []


def test_a_template_that_is_none_is_told_when_it_is_used(begun: Begun) -> None:
    before, _, prompts = begun("{% for %}")
    assert before == ["{% for %}"] and isinstance(prompts, Prompts)
    with pytest.raises(Refused) as refused:
        prompts.prepare(Generate(prompt=ChatPrompt(messages=({"role": "user", "content": "hello"},))))
    assert "template" in str(refused.value)
