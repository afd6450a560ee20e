"""The work of a child, one type per kind, and its parameters."""

from __future__ import annotations

from typing import Literal

import msgspec

from .immutable import Kind, Value
from .prompts import Prompt

SERVED_KINDS: frozenset[Kind] = frozenset({"llm", "vlm", "embedding", "reranker"})
"""The kinds of models that a worker of the engine stands behind."""


class Sampling(Value, frozen=True):
    """How the next token is drawn. None: not given; the model's generation_config decides, then `Generate.fallback`.

    Filters apply after temperature (top_k, then top_p, then min_p), penalties and bias before it. Penalties count
    generated tokens, all of them or the last `penalty_window`. `temperature` 0 is greedy. A `seed` fixes the result
    whatever else is in the batch; of several choices the i-th draws with `seed + i`.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    penalty_window: int | None = None
    logit_bias: dict[int, float] = msgspec.field(default_factory=dict)
    seed: int | None = None


class Grammar(Value, frozen=True):
    """What the answer must look like: any JSON object, a JSON schema (as JSON text), a regular expression that all of
    it matches, one of some texts (a JSON array), or a grammar in Lark's or GBNF's notation. `param` names the field of
    the client's request that it came in."""

    type: Literal["json", "json_schema", "regex", "choice", "lark"]
    source: str = ""
    param: str = "response_format"


class Calling(Value, frozen=True):
    """What a request says of calls of its tools. `required`: at least one, and nothing else. `names`: of these only,
    all for none. `parallel` False: one at most."""

    required: bool = False
    names: tuple[str, ...] = ()
    parallel: bool = True


class Generate(Value, frozen=True, tag="generate"):
    """Continue a prompt, `choices` times; the prompt is prefilled once.

    `max_tokens` None: until the model stops or the context is full. `context_length` narrows the model's own.
    `logprobs` None: none; k >= 0: the chosen token's and the k likeliest ones'. `split_reasoning` False leaves
    reasoning markers in the text. `parse_tools` False leaves tool-call markup in the text; with `stream_calls` calls
    come argument by argument, else whole. `want_context` asks for the token ids of prompt and answer in the last event
    (Ollama's `context`). `echo`: the prompt comes first, as a delta of every choice, with the log-probabilities of its
    own tokens where `logprobs` asks for some. `render_only`: no token is generated, and Accepted is the last event.
    """

    prompt: Prompt
    choices: int = 1
    sampling: Sampling = Sampling()
    fallback: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    context_length: int | None = None
    logprobs: int | None = None
    grammar: Grammar | None = None
    calling: Calling = Calling()
    ignore_eos: bool = False
    echo: bool = False
    split_reasoning: bool = True
    parse_tools: bool = False
    stream_calls: bool = False
    want_context: bool = False
    render_only: bool = False


class Count(Value, frozen=True, tag="count"):
    """Tokenize without generating: each prompt by itself. `return_tokens` asks for the ids too."""

    prompts: tuple[Prompt, ...]
    return_tokens: bool = False


class Detokenize(Value, frozen=True, tag="detokenize"):
    """The text of token ids, each sequence by itself. Special tokens are there by name, unless they are skipped."""

    sequences: tuple[tuple[int, ...], ...]
    skip_special_tokens: bool = False


class Embed(Value, frozen=True, tag="embed"):
    """Vectors of texts, or of token ids that are taken as they are: one of the two. `first` is the number of the first
    one in the client's request.

    `prompt_name` is one of the model's own prompts, put before every text; `input_type` (query, document, …) takes the
    one that fits, if there is one; None for both: the model's default. `truncate`: what is too long is cut.
    `dimensions` cuts the vectors and normalises what is left. `normalize` None: as the model's files say.
    """

    texts: tuple[str, ...] = ()
    ids: tuple[tuple[int, ...], ...] = ()
    first: int = 0
    prompt_name: str | None = None
    input_type: str | None = None
    truncate: bool = False
    dimensions: int | None = None
    normalize: bool | None = None


class Rerank(Value, frozen=True, tag="rerank"):
    """How well each document answers the query. `first` is the number of the first one in the client's request.

    `instruction`: what the model is to look for; None: its default. `truncate`: what is too long is cut.
    """

    query: str
    documents: tuple[str, ...]
    first: int = 0
    instruction: str | None = None
    truncate: bool = False


Work = Generate | Embed | Rerank | Count | Detokenize
