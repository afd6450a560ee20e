"""The documents of a reranking request to rows of tokens, with the query before each."""

from __future__ import annotations

from ...protocol import Rerank
from ..prompt.prompt_frames import RerankData
from ..prompt.refused import Refused
from ..prompt.text.encoding import Encoding
from ..prompt.text.size import fits, most_characters
from .row import Row
from .tokens import TextTokenizer

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_UNLIKE = ("a", "1", "\n\n")  # documents that begin as differently as can be


def rerank_rows(encoding: Encoding, model: RerankData) -> YesNoRows | PairRows:
    return YesNoRows(encoding, model) if model.yes_no else PairRows(encoding, model.longest)


class PairRows(TextTokenizer):
    """Query and document as the tokenizer's own post-processor puts pairs together, with its segment ids."""

    def prepare(self, work: Rerank) -> list[Row]:
        """Raises Refused."""
        if work.instruction is not None:
            raise Refused("unsupported", "this model takes no instruction; leave it out", "instruction")
        if not work.truncate and not fits([work.query], self.longest):
            raise _no_room(self.longest)
        pairs = [(work.query, document) for document in work.documents]
        rows = []
        for place, (pair, tokens) in enumerate(zip(pairs, self.fitting(pairs), strict=True), work.first):
            if tokens is None or len(tokens.ids) > self.longest:
                if not work.truncate:
                    raise _too_long(place, None if tokens is None else len(tokens.ids), self.longest)
                tokens = self.cut(pair, self.longest)
            rows.append(Row(tokens.ids, place, segments=tokens.segments, cut=tokens.cut))
        return rows


class YesNoRows(TextTokenizer):
    """Qwen3-Reranker's prompt, as its model card has it (https://huggingface.co/Qwen/Qwen3-Reranker-0.6B, the example
    with Transformers). All documents of a request share its beginning, with instruction and query."""

    def __init__(self, encoding: Encoding, model: RerankData) -> None:
        super().__init__(encoding, model.longest)
        self._shares = model.shares
        self._prefix, self._suffix = (tokens.ids for tokens in self.encode([PREFIX, SUFFIX], special=False))

    def prepare(self, work: Rerank) -> list[Row]:
        """Raises Refused."""
        before = f"<Instruct>: {INSTRUCTION if work.instruction is None else work.instruction}\n"
        before += f"<Query>: {work.query}\n<Document>: "
        room = self.longest - len(self._prefix) - len(self._suffix)
        if not fits([before], self.longest):
            raise _no_room(self.longest)
        large = [not fits([before, document], self.longest) for document in work.documents]
        if any(large) and not work.truncate:
            raise _too_long(work.first + large.index(True), None, self.longest)
        most = most_characters(self.longest)
        bodies = [(before + document)[:most] for document in (*_UNLIKE, *work.documents)]
        encoded = self.encode_inert(bodies)
        common = _common(encoded[: len(_UNLIKE)])
        if len(common) >= room:
            raise _no_room(self.longest)
        alone = work.first == 0 and len(work.documents) == 1
        rows = []
        for place, (body, much) in enumerate(zip(encoded[len(_UNLIKE) :], large, strict=True), work.first):
            if len(body) > room and not work.truncate:
                raise _too_long(place, len(body) + self.longest - room, self.longest)
            shared = self._shares and not alone and body[: len(common)] == common
            rows.append(
                Row(
                    [*self._prefix, *body[:room], *self._suffix],
                    place,
                    head=len(self._prefix) + len(common) if shared else 0,
                    cut=much or len(body) > room,
                )
            )
        return rows


def _common(sequences: list[list[int]]) -> list[int]:
    """The longest common beginning."""
    first, last = min(sequences), max(sequences)
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


def _no_room(longest: int) -> Refused:
    message = f"the query leaves no room for a document in the model's maximum of {longest} tokens"
    return Refused("context_length_exceeded", message, "query")


def _too_long(place: int, tokens: int | None, longest: int) -> Refused:
    """`tokens` of query and document, where they were counted."""
    size = "" if tokens is None else f" ({tokens} tokens)"
    return Refused(
        "context_length_exceeded",
        f"document {place} with the query{size} is longer than the model's maximum of {longest} tokens: "
        "shorten it, or send truncate: true to have it cut",
        "documents",
    )
