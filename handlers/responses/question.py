"""What a request asks the engine for, and all that its answer will need: read once, before any model is looked at."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import msgspec

from ...daemon.protocol import Calling, ChatPrompt, Generate
from ..decode import unsupported
from ..failure import Failure, RequestError
from ..openai.bodies import FALLBACK, clamping
from ..openai.messages import EFFORTS
from ..pictures.request_pictures import RequestPictures
from ..ranges import stops, template_options
from . import bodies
from .bodies import ResponseBody
from .callable_tools import CallableTools, callable_tools
from .input_items import Item, read, restored, stored
from .item_messages import ItemMessages
from .kept import KeptItem, KeptResponses
from .output_items import OutputItems
from .refusals import invalid
from .response_document import ResponseDocument
from .tool_choice import calling

if TYPE_CHECKING:
    from ...daemon.residency.slot import Model
    from ...store.installed import Installed

_NAMES = {"messages": "input", "max_tokens": "max_output_tokens"}
"""The engine's names of fields, where they are others."""


@dataclass(frozen=True)
class Question:
    """`context` are the items that it follows and its own, as they may be kept."""

    work: Generate
    tools: CallableTools
    document: ResponseDocument
    context: tuple[KeptItem, ...]
    pictures: RequestPictures
    max_output_tokens: int | None
    summary: bool
    sealed: bool

    def answer(self) -> OutputItems:
        """Where the answer is put together."""
        return OutputItems(
            self.tools,
            summary=self.summary,
            sealed=self.sealed,
            logprobs=self.work.logprobs is not None,
            parallel=self.work.calling.parallel,
        )

    def check_abilities(self, installed: Installed) -> None:
        """Refuse what the model cannot do by what the listings say of it. Raises RequestError."""
        self._require(installed.manifest.capabilities)

    def check_model(self, model: Model) -> str | None:
        """Refuse what it cannot do now that it is known better. Gives what to tell the client. Raises RequestError."""
        self._require(model.capabilities)
        notices = [clamping(self.max_output_tokens, model.context_length, "max_output_tokens")]
        if self.tools.hosted:
            kinds = ", ".join(kind if kind.isascii() and kind.isprintable() else "?" for kind in self.tools.hosted)
            notices.append(f"tools of these types are not run here and were left out: {kinds[:200]}")
        if self._prompt.thinking and "thinking" not in model.capabilities:
            notices.append("reasoning.effort was left out: this model does not think")
        return "; ".join(notice for notice in notices if notice) or None

    def work_for(self, capabilities: Collection[str]) -> Generate:
        """A model that cannot think is not asked to: clients such as Codex send one effort to every model."""
        if not self._prompt.thinking or "thinking" in capabilities:
            return self.work
        return msgspec.structs.replace(self.work, prompt=msgspec.structs.replace(self._prompt, thinking=None))

    @property
    def _prompt(self) -> ChatPrompt:
        assert isinstance(self.work.prompt, ChatPrompt)
        return self.work.prompt

    def _require(self, capabilities: Collection[str]) -> None:
        if self._prompt.tools and "tools" not in capabilities:
            raise RequestError("this model does not support tools", param="tools", code="unsupported_parameter")
        if self._prompt.thinking_budget is not None and "thinking" not in capabilities:
            raise unsupported("reasoning.max_tokens", "this model does not support thinking")

    def renamed(self, failure: Failure) -> Failure:
        """A failure that names the client's field, not the engine's."""
        given = failure.param or ""
        name = _NAMES.get(given, given)
        for place, tool in enumerate(self.tools.tools):
            prefix = f"tools[{place}].function"
            if given == prefix or given.startswith(f"{prefix}."):
                name = tool.where + given[len(prefix) :]
        if not given or name == given:
            return failure
        return replace(failure, param=name, message=failure.message.replace(f"'{given}'", f"'{name}'"))


def question(body: ResponseBody, kept: KeptResponses, owner: str) -> Question:
    """Raises RequestError naming the field."""
    bodies.check(body)
    tools = callable_tools(body.tools)
    parallel = body.parallel_tool_calls is not False
    wanted = calling(body.tool_choice, parallel, tools)
    before = _before(body, kept, owner)

    def find(identity: str) -> Item | None:
        item = kept.item(owner, identity)
        return None if item is None else restored(item.data)

    items = read(body.input, find)
    pictures = RequestPictures()
    conversation = ItemMessages(tools, pictures)
    if body.instructions:
        conversation.instruct(body.instructions)
    conversation.add(("previous_response_id", restored(item.data)) for item in before)
    conversation.add(items)
    if not conversation.messages:
        raise invalid("input", "there is nothing to answer; give a text or items")
    keeping = body.store is not False
    own = [stored(item) for _, item in items] if keeping else []
    reasoning = body.reasoning or bodies.Reasoning()
    prompt = ChatPrompt(
        messages=tuple(conversation.messages),
        tools=() if wanted is None else tools.shown(),
        thinking=_thinking(reasoning),
        thinking_budget=reasoning.max_tokens,
        template_options=template_options(body.chat_template_kwargs),
        drop_oldest=body.truncation == "auto",
    )
    work = Generate(
        prompt=prompt,
        sampling=bodies.sampling(body),
        fallback=FALLBACK,
        stop=stops(body.stop),
        max_tokens=body.max_output_tokens,
        logprobs=bodies.logprobs(body),
        grammar=bodies.grammar(body),
        parse_tools=bool(prompt.tools),
        calling=wanted or Calling(parallel=parallel),
        stream_calls=bool(body.stream),
    )
    return Question(
        work=work,
        tools=tools,
        document=ResponseDocument(body),
        context=(*before, *(KeptItem.of(data) for data in own)),
        pictures=pictures,
        max_output_tokens=body.max_output_tokens,
        summary=reasoning.summarized,
        sealed=bodies.includes(body, "reasoning.encrypted_content"),
    )


def _before(body: ResponseBody, kept: KeptResponses, owner: str) -> tuple[KeptItem, ...]:
    """The conversation that the request goes on with."""
    wanted = body.previous_response_id
    if wanted is None:
        return ()
    response = kept.find(owner, wanted)
    if response is None:
        raise RequestError(
            f"Previous response with id '{wanted}' not found.",
            status=404,
            param="previous_response_id",
            code="previous_response_not_found",
        )
    return response.items


def _thinking(reasoning: bodies.Reasoning) -> bool | Literal["low", "medium", "high"] | None:
    if reasoning.effort is None:
        return None
    if reasoning.effort not in EFFORTS:
        raise invalid("reasoning.effort", f"it is none of {', '.join(EFFORTS)}")
    return EFFORTS[reasoning.effort]
