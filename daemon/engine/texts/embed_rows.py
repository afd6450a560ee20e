"""The texts of an embedding request to rows of tokens."""

from __future__ import annotations

from ...protocol import Embed
from ..prompt.prompt_frames import EmbedData
from ..prompt.refused import Refused
from ..prompt.text.encoding import Encoding
from .prompts_by_name import prompt_before
from .row import Row
from .tokens import TextTokenizer, Tokens


class EmbedRows(TextTokenizer):
    def __init__(self, encoding: Encoding, model: EmbedData) -> None:
        super().__init__(encoding, model.longest)
        self._model = model
        self._special = {number for number, token in self._backend.get_added_tokens_decoder().items() if token.special}

    def prepare(self, work: Embed) -> list[Row]:
        """Raises Refused."""
        if work.ids:
            return [self._given(ids, work.first + place, work) for place, ids in enumerate(work.ids)]
        prompt = self._prompt(work)
        skip = 0 if self._model.with_prompt or not prompt else self._prompt_length(prompt)
        texts = [prompt + text for text in work.texts]
        return [
            self._row(text, tokens, work.first + place, work.truncate, skip)
            for place, (text, tokens) in enumerate(zip(texts, self.fitting(texts), strict=True))
        ]

    def whole(self, text: str, *, special: bool) -> list[int]:
        ids, end = super().whole(text, special=special), self._model.end
        return ids if end is None or not special or ids[-1:] == [end] else [*ids, end]

    def _prompt(self, work: Embed) -> str:
        model = self._model
        try:
            return prompt_before(model.prompts, model.default_prompt, work.prompt_name, work.input_type)
        except KeyError as error:
            param = "prompt_name" if work.prompt_name is not None else "input_type"
            raise Refused("invalid_request", str(error.args[0]), param) from None

    def _row(self, text: str, tokens: Tokens | None, place: int, truncate: bool, skip: int) -> Row:
        end = self._model.end
        room = self.longest - (end is not None)
        if tokens is None or len(tokens.ids) > room:
            if not truncate:
                raise self._too_long(place, None if tokens is None else len(tokens.ids))
            tokens = self.cut(text, max(1, room))
        ids = tokens.ids if end is None or tokens.ids[-1:] == [end] else [*tokens.ids, end]
        if not ids:
            message = f"input {place} is empty, and this model has no token to begin with"
            raise Refused("invalid_request", message, "input")
        return Row(ids, place, skip=min(skip, len(ids) - 1), cut=tokens.cut)

    def _given(self, ids: tuple[int, ...], place: int, work: Embed) -> Row:
        """Token ids are taken as they are: whoever has them has the special ones too."""
        if work.prompt_name is not None or work.input_type is not None:
            param = "prompt_name" if work.prompt_name is not None else "input_type"
            raise Refused("invalid_request", f"{param} needs input that is text, not token ids", param)
        rows = self._model.rows
        for token in ids:
            if not 0 <= token < rows:
                message = f"token id {token} is outside this model's vocabulary (0 to {rows - 1})"
                raise Refused("invalid_request", message, "input")
        if not ids:
            raise Refused("invalid_request", f"input {place} has no tokens", "input")
        if len(ids) > self.longest and not work.truncate:
            raise self._too_long(place, len(ids))
        return Row(list(ids[: self.longest]), place, cut=len(ids) > self.longest)

    def _too_long(self, place: int, tokens: int | None) -> Refused:
        size = "" if tokens is None else f" ({tokens} tokens)"
        return Refused(
            "context_length_exceeded",
            f"input {place}{size} is longer than the model's maximum of {self.longest} tokens: "
            "shorten it, or send truncate: true to have it cut",
            "input",
        )

    def _prompt_length(self, prompt: str) -> int:
        """Tokens of the prompt with the special ones before it."""
        (found,) = self.encode([prompt])
        return len(found.ids) - (found.ids[-1] in self._special)
