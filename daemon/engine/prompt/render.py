"""Requests to token ids: chat templates rendered, text tokenized, everything checked against the model's limits.

Runs in a worker of the prompt process, which may be ended at any time. Knows no MLX.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2

from ...protocol import ChatPrompt, Count, Detokenize, Generate, Prompt, TextPrompt, TokenPrompt
from .chat.answer_family import AnswerFamilies
from .chat.attempts import first_rendered
from .chat.call_ids import with_ids
from .chat.described_tools import with_described_tools
from .chat.fitting import both_ends, recent
from .chat.template_variables import thinking_variables, tool_variables
from .chat.variants import with_absent_content
from .conversation import closed_at_tag, tagged, template_ready
from .environment import Template, TooLong, compiled
from .insertion.insertion import Insertion
from .pictures.content import Forms, adapted, forms
from .pictures.note import Note
from .prepared import Prepared
from .prompt_frames import ModelData, PackedPicture, TokenizerData
from .refused import Refused, TooLarge, check_counted, check_size, excess
from .text.control_tokens import Marks, encode, marks, pattern
from .text.encoding import Encoding, decoded
from .text.size import USUAL_BYTES, most_characters, size

if TYPE_CHECKING:
    from .pictures.sight import Sight

COUNTED_CONTEXTS = 3
"""Messages to be counted may be for so many contexts."""


class Written(NamedTuple):
    """A prompt as tokens, and as text with one mark for each of its pictures."""

    tokens: list[int]
    text: str
    pictures: tuple[PackedPicture, ...] = ()


class Prompts:
    """Prepares prompts for one model. `sight`: what it has for pictures, None where it cannot see. `note_grammar` is
    told the field of a grammar before it is compiled, which may never end."""

    def __init__(
        self,
        tokenizer: TokenizerData,
        model: ModelData,
        encoding: Encoding,
        note: Note = lambda size, pixels=0, kept=0: None,
        sight: Sight | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._encoding = encoding
        self._sight = sight
        self.note = note
        self.note_grammar: Callable[[str], None] = lambda param: None
        special = {token: encoding.id(token) for token, is_special in encoding.added.items() if is_special}
        self._answers = AnswerFamilies(
            tokenizer.template,
            frozenset(encoding.added),
            {token: found for token, found in special.items() if found is not None},
        )
        self._insertion = Insertion(encoding, tokenizer.control)
        self._compiled = functools.lru_cache(maxsize=8)(self._compile)
        self._forms = functools.lru_cache(maxsize=8)(self._probe)

    def _compile(self, source: str) -> tuple[Template, re.Pattern[str]]:
        """Raises jinja2.TemplateError."""
        template = compiled(source)
        seen = dict.fromkeys(self._sight.tokens if self._sight else (), True)
        return template, pattern(self._encoding.added | seen, self._tokenizer.control, template.literals)

    def _probe(self, source: str) -> Forms:
        """Which forms of content a template shows."""
        assert self._sight is not None
        template = self._compiled(source)[0]

        def render(messages: list[dict[str, Any]]) -> str:
            given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True}
            return template.render(self._tokenizer.names | given, most_characters(self._model.context_length))

        return forms(render, self._sight.mark)

    def compile_own(self) -> None:
        """The model's own templates, so that no worker does it; what is wrong with them is told when they are used."""
        for source in self._tokenizer.templates:
            with contextlib.suppress(Exception):
                self._compiled(source)
                if self._sight is not None:
                    self._forms(source)

    def prepare(self, request: Generate) -> Prepared:
        """Raises Refused."""
        model = self._model
        self._check(request)
        self._answers.check_budget(request.prompt)
        limit = min(model.context_length, request.context_length or model.context_length)
        (tokens, rendered, pictures), truncated = self._fitted(request.prompt, limit)
        if not tokens:
            raise Refused("invalid_request", "the prompt is empty and this model has no token to begin with", "prompt")
        room = limit - len(tokens)
        scored = request.max_tokens == 0 and room == 0
        if room < 1 and not scored and not request.render_only:
            raise Refused(
                "context_length_exceeded",
                f"input length ({len(tokens)} tokens) exceeds the model's maximum context length ({limit} tokens): "
                "shorten the input, or use a model with a longer context",
                "prompt" if not isinstance(request.prompt, ChatPrompt) else "messages",
                excess(len(tokens), limit),
            )
        if request.max_tokens is not None:
            room = min(room, request.max_tokens)
        opened = self._answers.opens_reasoning(request.prompt, rendered)
        grammar = self._answers.grammar(request, rendered, opened, self.note_grammar)
        return Prepared(request, tokens, room, truncated, opened, rendered, pictures, grammar)

    def count(self, request: Count) -> list[list[int]]:
        """The tokens of each prompt, which need not fit the context. Raises Refused."""
        texts = [prompt.text for prompt in request.prompts if isinstance(prompt, TextPrompt)]
        self.note(check_counted(texts, self._model.context_length))
        return [self._counted(prompt) for prompt in request.prompts]

    def _counted(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, TextPrompt):
            return self._with_history(prompt)
        limit = COUNTED_CONTEXTS * self._model.context_length
        return self._whole(prompt, limit).tokens

    def detokenize(self, request: Detokenize) -> list[str]:
        """Raises Refused."""
        return decoded(self._encoding, request, self.note)

    def _check(self, request: Generate) -> None:
        rows = self._model.rows
        for token in request.sampling.logit_bias:
            if not 0 <= token < rows:
                raise Refused(
                    "invalid_request",
                    f"logit_bias: token id {token} is outside this model's vocabulary (0 to {rows - 1})",
                    "logit_bias",
                )

    def _fitted(self, prompt: Prompt, limit: int) -> tuple[Written, bool]:
        if self._sight is not None:
            self._sight.forget()
        if isinstance(prompt, ChatPrompt) and prompt.drop_oldest:
            return recent(prompt, limit, lambda part: self._whole(part, limit))
        if isinstance(prompt, TextPrompt) and prompt.suffix is not None:
            tokens, text, cut = self._insertion.fitted(prompt, limit, self.note)
            return Written(tokens, text), cut
        if isinstance(prompt, TextPrompt) and prompt.drop_middle:
            tokens, cut = both_ends(prompt, limit, lambda part: self._tokens(part, limit).tokens)
            return Written(tokens, prompt.text), cut
        return self._whole(prompt, limit), False

    def _whole(self, prompt: Prompt, limit: int) -> Written:
        self._reject_by_size(prompt, limit)
        return self._tokens(prompt, limit)

    def _reject_by_size(self, prompt: Prompt, limit: int) -> None:
        """Refuse what cannot fit without rendering and tokenizing megabytes."""
        if isinstance(prompt, TextPrompt):
            check_size([prompt.text], limit, "prompt")
        elif isinstance(prompt, ChatPrompt):
            check_size([str(message.get("content")) for message in prompt.messages], limit, "messages")

    def _tokens(self, prompt: Prompt, limit: int) -> Written:
        if isinstance(prompt, TokenPrompt):
            return Written(self._checked(prompt.ids, "prompt"), "")
        if isinstance(prompt, TextPrompt):
            self.note(size(prompt.text))
            return Written(self._with_history(prompt), prompt.text)
        return self._chat(prompt, limit)

    def _with_history(self, prompt: TextPrompt) -> list[int]:
        history = self._checked(prompt.history, "context")
        return history + self._encode(prompt.text, special=prompt.add_special_tokens and not history)

    def _checked(self, ids: tuple[int, ...], param: str) -> list[int]:
        rows = self._model.rows
        for token in ids:
            if not 0 <= token < rows:
                raise Refused(
                    "invalid_request", f"token id {token} is outside this model's vocabulary (0 to {rows - 1})", param
                )
        return list(ids)

    def _encode(self, text: str, *, special: bool) -> list[int]:
        """A text that begins with the token that the tokenizer would put in front gets no second one."""
        ids = self._encoding.ids(text, special=special)
        first = self._tokenizer.names.get("bos_token")
        begins = special and bool(first) and text.startswith(str(first))
        return ids[1:] if begins and ids[:2] == [self._encoding.id(str(first))] * 2 else ids

    def _chat(self, prompt: ChatPrompt, limit: int) -> Written:
        if prompt.pictures and self._sight is None:
            param = prompt.pictures[0].param
            raise Refused("invalid_request", f"{param}: this model reads text only, it cannot see pictures", param)
        source = self._template(prompt)
        try:
            template, tokens = self._compiled(source)
            marked = marks(tokens, (source, prompt.messages, prompt.tools, prompt.template_options))
            rendered = self._render(prompt, template, marked, most_characters(limit))
        except TooLong:
            raise TooLarge(
                "context_length_exceeded",
                f"the model's chat template writes more than {most_characters(limit)} characters for these messages, "
                f"which cannot fit the model's maximum context length ({limit} tokens)",
                "messages",
                excess(most_characters(limit) // USUAL_BYTES, limit),
            ) from None
        except jinja2.TemplateError as error:
            raise Refused(
                "invalid_request", f"the model's chat template refuses these messages: {error}", "messages"
            ) from error
        except MemoryError:
            raise
        except Exception as error:
            raise Refused(
                "template_error",
                f"the model's chat template failed on these messages ({type(error).__name__}: {error})",
                "messages",
            ) from error
        text = marked.removed(rendered)
        check_size([text], limit, "messages")
        if not prompt.pictures or self._sight is None:
            self.note(size(text))
            return Written(encode(self._encoding, rendered, marked), text)
        placed, read = self._sight.placed(rendered, marked, prompt.pictures, limit, self.note)
        self.note(size(placed))
        ids, pictures = self._sight.spread(encode(self._encoding, placed, marked), read)
        return Written(ids, text, pictures)

    def _template(self, prompt: ChatPrompt) -> str:
        """Of several named ones, `tool_use` where tools are offered."""
        own = self._tokenizer.template
        if prompt.template is not None:
            return prompt.template
        if own is None:
            raise Refused(
                "unsupported",
                "this model has no chat template; use /v1/completions, or /api/generate with raw: true",
                "messages",
            )
        if isinstance(own, str):
            return own
        for name in ("tool_use", "default") if prompt.tools else ("default",):
            if name in own:
                return own[name]
        raise Refused(
            "unsupported", "this model has several chat templates and none of them is the default", "messages"
        )

    def _render(self, prompt: ChatPrompt, template: Template, marked: Marks, most: int) -> str:
        """What the template makes of the messages or, where it cannot take them, of the same ones in another form."""
        messages = [template_ready(message, marked) for message in prompt.messages]
        if not messages:
            raise ValueError("there are no messages")
        if self._sight is not None:
            # The assistant's turns keep their markers, but none of them is a picture.
            only = Marks(marked.start, marked.end, pattern(dict.fromkeys(self._sight.tokens, True), (), ""))
            spoken = [only.around(m) if m.get("role") == "assistant" else m for m in messages]
            messages = adapted(spoken, self._forms(template.source), self._sight.mark)
        last = tagged(messages[-1], template.source) if prompt.continue_last else None
        messages = with_absent_content(with_ids(messages, template.source), template.source)
        tools = marked.around(prompt.tools)
        family = self._answers.family(prompt)
        messages = with_described_tools(messages, tools, template.source, family.name)
        known = template.variables
        variables = tool_variables(tools, known) | marked.around(prompt.template_options)
        variables |= thinking_variables(prompt.thinking, known, family.efforts, prompt.thinking_budget) | {
            "tools": tools or None,
            "documents": None,
            "add_generation_prompt": prompt.open_answer and not prompt.continue_last,
        }

        def render(messages: list[dict[str, Any]], variables: dict[str, Any]) -> str:
            text = template.render(self._tokenizer.names | variables | {"messages": messages}, most)
            return text if last is None else closed_at_tag(text, last)

        return first_rendered(render, messages, variables)
