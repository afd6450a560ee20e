"""POST /v1/tokenize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.errors import RequestRejected
from ...daemon.protocol import ChatPrompt, Count, Counted, Prompt, TextPrompt
from .. import ranges
from ..decode import Fields, partly
from ..endpoint import decoded, require_kind, serving
from ..failure import RequestError
from ..jsontext import encode
from ..openai import messages
from ..openai.bodies import CHAT_FIELDS, ChatBody, Message, ReasoningOptions, Tool
from ..overrides import with_settings
from ..pictures.request_pictures import RequestPictures
from ..retrieval.input_checks import check_count
from .asking import asked, id_lists, named

if TYPE_CHECKING:
    from ...store.installed import Installed


class TokenizeBody(msgspec.Struct, kw_only=True):
    """Texts in `input`, or in vLLM's `prompt`; or a conversation, with the fields of a chat that its template reads."""

    model: ranges.ModelName
    input: str | list[str] | None = None
    prompt: str | list[str] | None = None
    return_tokens: bool | None = None
    add_special_tokens: bool | None = None
    messages: list[Message] | None = None
    tools: list[Tool] | None = None
    tool_choice: Any = None
    reasoning_effort: str | None = None
    reasoning: ReasoningOptions | None = None
    thinking_budget: ranges.TokenCountOrZero | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None


OF_A_CHAT = (
    *("tools", "tool_choice", "reasoning_effort", "reasoning", "thinking_budget", "chat_template_kwargs"),
    *("continue_final_message", "add_generation_prompt"),
)
TOKENIZE_FIELDS: Fields = {
    "input": partly(
        "1 to 2,048 texts, of 4 MB together, or as many bytes as the model's context may have (16 MB at most)"
    ),
    "prompt": partly("vLLM's name for `input`; one of the two"),
    "add_special_tokens": partly("for `input`; a chat template writes its own"),
    "messages": partly("in place of `input`, as `/v1/chat/completions` takes them"),
    **{name: partly(f"with `messages`; {CHAT_FIELDS[name].note}") for name in OF_A_CHAT if name in CHAT_FIELDS},
    **{name: partly("with `messages`") for name in OF_A_CHAT if name not in CHAT_FIELDS},
}
_decoder = msgspec.json.Decoder(TokenizeBody)


async def tokenize(request: Request) -> HTTPResponse:
    body = await decoded(request, _decoder)
    pictures = RequestPictures()
    chat = _chat(body, pictures)
    texts = () if chat is not None else _texts(body)
    try:
        event = await _counted(request, body, chat, texts, pictures)
    finally:
        pictures.release()
    return HTTPResponse(await _document(body, event), content_type="application/json; charset=utf-8")


async def _counted(
    request: Request,
    body: TokenizeBody,
    chat: ChatPrompt | None,
    texts: tuple[Prompt, ...],
    pictures: RequestPictures,
) -> Counted:
    context = serving(request)
    if pictures:
        await pictures.decode(context.fetcher)
    async with named(request, body.model) as installed:
        if pictures:
            await pictures.admit(context, body.model, installed.manifest.kind)
        prompts = texts if chat is None else (pictures.placed(_settled(chat, body, installed)),)
        work = Count(prompts=prompts, return_tokens=bool(body.return_tokens))
        try:
            return await asked(request, installed, work, Counted)
        except RequestRejected as error:
            if error.param == "input" and body.prompt is not None:
                raise RequestRejected(error.code, str(error), "prompt") from None
            raise


def _texts(body: TokenizeBody) -> tuple[Prompt, ...]:
    """Raises RequestError."""
    if body.input is not None and body.prompt is not None:
        raise RequestError("'prompt' is another name for 'input': send one", param="prompt", code="invalid_value")
    for name in OF_A_CHAT:
        if getattr(body, name) is not None:
            raise RequestError(f"'{name}' needs 'messages'", param=name, code="invalid_value")
    param, given = ("input", body.input) if body.prompt is None else ("prompt", body.prompt)
    if given is None:
        message = "missing required field 'input' (texts), or 'messages' in its place"
        raise RequestError(message, param="input", code="missing_field")
    texts = [given] if isinstance(given, str) else given
    check_count(len(texts), param)
    special = body.add_special_tokens is not False
    return tuple(TextPrompt(text=text, add_special_tokens=special) for text in texts)


def _chat(body: TokenizeBody, pictures: RequestPictures) -> ChatPrompt | None:
    """The conversation, if it is one, its pictures beside it. Raises RequestError."""
    if body.messages is None:
        return None
    for name in ("input", "prompt"):
        if getattr(body, name) is not None:
            message = f"'{name}' and 'messages' exclude each other"
            raise RequestError(message, param=name, code="invalid_value")
    last = body.messages[-1].role if body.messages else ""
    if body.continue_final_message and last != "assistant":
        message = "invalid value for 'continue_final_message': the last message must be the assistant's"
        raise RequestError(message, param="continue_final_message", code="invalid_value")
    if body.continue_final_message and body.add_generation_prompt:
        message = "'add_generation_prompt' and 'continue_final_message' exclude each other"
        raise RequestError(message, param="add_generation_prompt", code="invalid_value")
    same = _as_chat(body)
    messages.calling(same)
    prompt = messages.prompt(same, pictures)
    return msgspec.structs.replace(prompt, open_answer=body.add_generation_prompt is not False)


def _as_chat(body: TokenizeBody) -> ChatBody:
    """The same conversation as a chat's body."""
    return ChatBody(
        model=body.model,
        messages=body.messages or [],
        tools=body.tools,
        tool_choice=body.tool_choice,
        reasoning_effort=body.reasoning_effort,
        reasoning=body.reasoning,
        thinking_budget=body.thinking_budget,
        chat_template_kwargs=body.chat_template_kwargs,
        continue_final_message=body.continue_final_message,
    )


def _settled(prompt: ChatPrompt, body: TokenizeBody, installed: Installed) -> ChatPrompt:
    """As a chat with this model would have it. Raises WrongKind, RequestError."""
    require_kind(installed.manifest.kind, body.model, "chat")
    messages.check_abilities(_as_chat(body), prompt, installed)
    return with_settings(prompt, installed.overrides)


async def _document(body: TokenizeBody, event: Counted) -> bytes:
    ids = await id_lists(event.tokens) if body.return_tokens else []
    entries = [
        b'{"index":%d,"object":"token_count","token_count":%d%b}'
        % (place, count, b',"tokens":' + ids[place] if ids else b"")
        for place, count in enumerate(event.counts)
    ]
    head = encode({"model": body.model, "object": "list"})
    tail = encode({"usage": {"total_tokens": event.count}})
    return head[:-1] + b',"data":[' + b",".join(entries) + b"]," + tail[1:]
