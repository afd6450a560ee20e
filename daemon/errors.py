"""What can go wrong between a request and its model: the daemon's own tree of errors."""

from __future__ import annotations


class DaemonError(Exception):
    """`str()` is a sentence for the user; it names no path, prompt or key."""


class QueueFull(DaemonError):
    """More requests wait than `server.max_queue` allows. `retry_after` is in whole seconds, from the measured rate."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("server busy, please try again.  maximum pending requests exceeded")
        self.retry_after = retry_after


class Draining(DaemonError):
    """The daemon is stopping and takes no new work."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down; try again in a moment")


class RequestCancelled(DaemonError):
    """Somebody has cancelled this request while it was under way."""


class CancelledByOperator(RequestCancelled):
    """Whoever runs the daemon has cancelled this request."""

    def __init__(self) -> None:
        super().__init__("the request was cancelled by the operator of this server")


class CancelledByClient(RequestCancelled):
    """Whoever made this request has cancelled it by another one."""

    def __init__(self) -> None:
        super().__init__("the request was cancelled by its client")


class UnknownRequest(DaemonError):
    """No request with this id is open."""

    hint = "`mlx-serve ps` lists those that are"

    def __init__(self, number: str) -> None:
        super().__init__(f"no request with the id {number!r} is running or queued")


class PullStopped(Draining):
    """The daemon is stopping, and a pull or a quantization with it."""

    def __init__(self) -> None:
        DaemonError.__init__(self, "the server is shutting down; pull again later to resume")


class LoadError(DaemonError):
    """A model could not be brought into memory. `retry_after`: seconds for which the next attempt is held back."""

    def __init__(self, model: str, reason: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"model {model!r} could not be loaded: {reason}")
        self.model = model
        self.reason = reason
        self.retry_after = retry_after


class Quarantined(LoadError):
    """The model's process died too often: for `retry_after` seconds it is loaded only when asked for explicitly."""

    def __init__(self, model: str, reason: str, *, retry_after: int) -> None:
        super().__init__(model, reason, retry_after=retry_after)
        minutes = max(1, round(retry_after / 60))
        self.args = (
            f"model {model!r} is in quarantine for {minutes} more minute{'s' * (minutes != 1)}, because {reason}; "
            f"`mlx-serve load {model}` tries it at once",
        )


class UnsupportedByModel(LoadError):
    """The model's files are fine, but this version cannot serve them."""


class InsufficientMemory(DaemonError):
    """The model, or one request's cache, does not fit beside what is in use; the numbers are in the sentence."""


class RunnerDied(DaemonError):
    """The model's process ended while it worked on this request; a later request loads it again."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            f"the process of model {model!r} ended unexpectedly ({reason}); a later request loads it again"
        )
        self.model = model
        self.reason = reason


class JobDied(DaemonError):
    """A job's process ended before its work was done."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the process that did the work ended unexpectedly ({reason}); nothing was changed, try again")


class RequestRejected(DaemonError):
    """The engine refused or failed one request. `code` is a protocol.RejectCode; `param` names the field at fault;
    `excess`, of a prompt that is too long: how many tokens it has, and how many it may have."""

    def __init__(
        self, code: str, message: str, param: str | None = None, excess: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.excess = excess


class FetchRefused(DaemonError):
    """What a URL in a request names may not be fetched, or could not be. `str()` says why and repeats neither an
    address nor an answer; `url` says which of several it is."""

    def __init__(self, reason: str, url: str | None = None) -> None:
        super().__init__(reason)
        self.url = url


class FetchBusy(DaemonError):
    """Other requests hold or fetch so many pictures that this one cannot. `retry_after` in seconds."""

    def __init__(self) -> None:
        super().__init__("other requests have too many large pictures at once; try again in a moment")
        self.retry_after = 5


_KINDS = {
    "llm": "it is a language model, for /v1/chat/completions or /api/chat",
    "vlm": "it is a language model that sees, for /v1/chat/completions or /api/chat",
    "embedding": "it is an embedding model, for /v1/embeddings or /api/embed",
    "reranker": "it is a reranker, for /v1/rerank",
}


class WrongKind(DaemonError):
    """The model cannot do what the endpoint asks (an embedding model in a chat). `capability` as Ollama names it."""

    def __init__(self, model: str, capability: str, kind: str) -> None:
        super().__init__(f'"{model}" does not support {capability}: {_KINDS[kind]}')
        self.model = model
        self.capability = capability
