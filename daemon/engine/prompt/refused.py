"""Why a prompt is refused."""

from __future__ import annotations

from ...protocol import RejectCode, Rejected
from .text.size import USUAL_BYTES, fits, most_bytes, most_counted, size


class Refused(Exception):
    """The request cannot be served; carries the frame that says so, without the id. `excess`: as in Rejected."""

    def __init__(
        self, code: RejectCode, message: str, param: str | None = None, excess: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.excess = excess

    def rejected(self, request_id: int) -> Rejected:
        return Rejected(id=request_id, code=self.code, message=str(self), param=self.param, excess=self.excess)


def bad_grammar(param: str, why: str) -> Refused:
    """What the client's field asks of the answer cannot be done."""
    return Refused("invalid_request", f"invalid value for '{param}': {why}", param)


class TooLarge(Refused):
    """The input cannot fit the context, whatever its tokens are."""


def excess(tokens: int, limit: int) -> tuple[int, int]:
    """Of a prompt of so many tokens, or about so many, which does not leave room for one more."""
    return max(tokens, limit + 1), limit


def check_size(texts: list[str], limit: int, param: str) -> None:
    """Raises TooLarge."""
    if fits(texts, limit):
        return
    characters, count = sum(map(len, texts)), sum(map(size, texts))
    raise TooLarge(
        "context_length_exceeded",
        f"the input of {characters} characters ({count} bytes) cannot fit the model's maximum context length "
        f"({limit} tokens, for which at most {most_bytes(limit)} bytes are read): shorten the input, or use a model "
        "with a longer context",
        param,
        excess(count // USUAL_BYTES, limit),
    )


def check_counted(texts: list[str], context: int) -> int:
    """The bytes of texts that need not fit a context of so many tokens. Raises TooLarge."""
    total, most = sum(map(size, texts)), most_counted(context)
    if total > most:
        message = f"the input has {total} bytes, and at most {most} are tokenized at once: send it in parts"
        raise TooLarge("invalid_request", message, "input")
    return total
