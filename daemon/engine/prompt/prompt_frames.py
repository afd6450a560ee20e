"""What the engine, the prompt process and its workers say to each other: msgpack behind four bytes of length."""

from __future__ import annotations

import array
import socket
from typing import Any

import msgspec

from ...protocol import (
    Ask,
    ChatPrompt,
    Count,
    Counted,
    Detokenize,
    Detokenized,
    Embed,
    Generate,
    Prompt,
    Rejected,
    Rerank,
)
from ...protocol.immutable import Value

# --- the engine to the prompt process ---------------------------------------------------------------------------------


class TokenizerData(Value, frozen=True, tag="tokenizer"):
    """A tokenizer: as JSON of the `tokenizers` library, or else the folder (and options) that Transformers loads it
    from. `names` are the special tokens' (bos_token, …), `control` what the model's makers call control tokens.
    `parts`: JSON of what stands in the place of parts of `backend`, by their names there. `separable`: whether texts
    may be tokenized in pieces; None: it is to be found out."""

    backend: bytes | None
    folder: str
    options: dict[str, Any]
    names: dict[str, str]
    template: str | dict[str, str] | None
    control: tuple[str, ...] | None = None
    split_special: bool = False
    clean_up: bool = False
    parts: str | None = None
    separable: bool | None = None

    @property
    def templates(self) -> list[str]:
        """The chat templates."""
        if isinstance(self.template, dict):
            return list(self.template.values())
        return [self.template] if self.template else []


class SightData(Value, frozen=True):
    """How a model sees. `family`: a key of `pictures.arrangement.FAMILIES`. `folder` has its image processor, `options`
    go to that. `token` stands for a part of a picture. `facts` and `words` are numbers and tokens that the family's
    arrangement needs."""

    family: str
    folder: str
    token: str
    token_id: int
    facts: dict[str, int] = msgspec.field(default_factory=dict)
    words: dict[str, str] = msgspec.field(default_factory=dict)
    options: dict[str, Any] = msgspec.field(default_factory=dict)


class ModelData(Value, frozen=True, tag="model"):
    """`rows`: the limit for token ids. `sight` None: the model cannot see."""

    rows: int
    context_length: int
    sight: SightData | None = None


class EmbedData(Value, frozen=True, tag="embed_data"):
    """In place of ModelData, for an embedding model. `longest` input in tokens. `prompts` are what may stand before
    texts; their own tokens are pooled where `with_prompt`. `end` is a token that every text must end with."""

    rows: int
    longest: int
    prompts: dict[str, str] = msgspec.field(default_factory=dict)
    default_prompt: str | None = None
    with_prompt: bool = True
    end: int | None = None


class RerankData(Value, frozen=True, tag="rerank_data"):
    """In place of ModelData, for a reranker. `yes_no`: a decoder that is asked; `shares`: it takes the query once."""

    rows: int
    longest: int
    yes_no: bool = False
    shares: bool = False


class PromptJob(Value, frozen=True, tag="job"):
    """`work` is a Work, which the process hands on to a worker as it is. `chat`: a template is rendered for it.
    `param`: the field of the client's request that is to be tokenized."""

    id: int
    chat: bool
    param: str
    work: msgspec.Raw


def prompt_job(ask: Ask) -> PromptJob:
    """What the prompt process is told of a piece of work."""
    prompts: tuple[Prompt, ...] = ()
    match ask.work:
        case Generate(prompt=prompt):
            prompts, param = (prompt,), "prompt"
        case Count():
            prompts, param = ask.work.prompts, "input"
        case Embed():
            param = "input"
        case Rerank():
            param = "documents"
        case Detokenize():
            param = "tokens"
    chat = any(isinstance(prompt, ChatPrompt) for prompt in prompts)
    return PromptJob(id=ask.id, chat=chat, param="messages" if chat else param, work=msgspec.Raw(body(ask.work)))


class Drop(Value, frozen=True, tag="drop"):
    """No answer to this job is wanted."""

    id: int


Model = ModelData | EmbedData | RerankData

# --- a worker to the prompt process, which hands the answer on --------------------------------------------------------


class Note(Value, frozen=True, tag="note"):
    """A text of so many bytes is about to be tokenized, a picture of so many pixels decoded, beside `kept` bytes of
    those that were read, or the grammar of the answer compiled, which came in this field."""

    size: int = 0
    pixels: int = 0
    kept: int = 0
    grammar: str = ""


class PromptAnswer(Value, frozen=True, tag="answer"):
    """`result` is a Result. `ends`: the worker has grown, or is unwell, and takes no further job."""

    result: msgspec.Raw
    ends: bool = False


FromWorker = Note | PromptAnswer

# --- the prompt process to the engine ---------------------------------------------------------------------------------


class PackedArray(Value, frozen=True):
    """An array in C order; `dtype` as NumPy spells it."""

    shape: tuple[int, ...]
    dtype: str
    data: bytes


class PackedPicture(Value, frozen=True):
    """What a vision tower reads of one picture, and the places in the prompt of the tokens that it fills, packed int32.

    Two pictures with one `key` are the same to this model. `grid`: rows and columns of its tokens, where positions have
    several axes.
    """

    key: str
    places: bytes
    arrays: dict[str, PackedArray]
    grid: tuple[int, int] | None = None


class Encoded(Value, frozen=True, tag="encoded"):
    """A prompt as `Prepared` has it; `tokens` are packed int32, `rendered` is there when somebody will read it."""

    id: int
    tokens: bytes
    room: int
    truncated: bool
    inside_reasoning: bool
    rendered: str
    pictures: tuple[PackedPicture, ...] = ()
    grammar: str = ""


class PackedRow(Value, frozen=True):
    """A row of tokens, packed int32, and what else `Row` has."""

    tokens: bytes
    place: int
    segments: bytes | None = None
    head: int = 0
    skip: int = 0
    cut: bool = False


class EncodedRows(Value, frozen=True, tag="rows"):
    id: int
    rows: tuple[PackedRow, ...]


Result = Encoded | EncodedRows | Counted | Detokenized | Rejected


def pack(tokens: list[int]) -> bytes:
    return array.array("i", tokens).tobytes()


def unpack(tokens: bytes) -> list[int]:
    packed = array.array("i")
    packed.frombytes(tokens)
    return packed.tolist()


# --- on the wire ------------------------------------------------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()


def body(message: Any) -> bytes:
    return _encoder.encode(message)


def send(sock: socket.socket, body: bytes) -> None:
    """Raises OSError where nobody listens."""
    sock.sendall(len(body).to_bytes(4, "big") + body)


def receive(sock: socket.socket) -> bytearray | None:
    """The next frame's body, or None where the other end is gone."""
    header = _exactly(sock, 4)
    return None if header is None else _exactly(sock, int.from_bytes(header, "big"))


def _exactly(sock: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        try:
            count = sock.recv_into(view[done:])
        except ConnectionError:
            return None
        if not count:
            return None
        done += count
    return data
