"""Whether a grammar compiles and has an answer: tried where it can be ended, for some never do. Knows no MLX and no
vocabulary of a model's."""

from __future__ import annotations

import functools

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from .literals import BadGrammar, one_line

_END = 256


def limits() -> LLParserLimits:
    """What compiling a grammar, and each step of following it, may cost. A lexer's state takes a kilobyte or two; an
    object of a thousand members that may be left out takes four thousand items; the numbers that are not given are
    llguidance's own, some 20 ms for compiling and a step."""
    return LLParserLimits(max_lexer_states=50_000, max_items_in_row=8_000, step_max_items=200_000, verbose_errors=False)


def check(grammar: str) -> None:
    """A grammar that names no special token. Raises BadGrammar. May take for ever."""
    failed, messages = LLMatcher.validate_grammar_with_warnings(grammar, limits=limits())
    if failed:
        raise BadGrammar(one_line(messages[0] if messages else "it cannot be compiled"))
    matcher = LLMatcher(_bytes(), grammar, limits=limits(), log_level=0)
    matcher.compute_bitmask()
    if matcher.is_error():
        raise BadGrammar(f"no answer fits it ({one_line(matcher.get_error())})")


@functools.lru_cache(maxsize=1)
def _bytes() -> LLTokenizer:
    """A vocabulary of all bytes, with which the beginning of an answer is tried."""
    return LLTokenizer(_Bytes(), eos_token=_END)


class _Bytes:
    is_tokenizer_wrapper = True
    bos_token_id = None
    eos_token_id = _END
    tokens = (*(bytes([byte]) for byte in range(_END)), b"<end>")
    special_token_ids = (_END,)

    def __call__(self, text: str) -> list[int]:
        return list(text.encode())
