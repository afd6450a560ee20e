"""Opens one tokenizer with Transformers and hands it on: `python -m mlx_serve.daemon.engine.tokenize.opening --fd N`.

What comes out is what the engine of the loaded model would tell its prompt process. No weights are read.
"""

from __future__ import annotations

import os

import msgspec

from ...protocol import Load, LoadFailed
from ..model.model_folder import BadModel, UnsupportedModel
from ..process import inherit
from ..prompt.prompt_frames import Model, TokenizerData, body, receive, send

_loads = msgspec.msgpack.Decoder(Load)


def main() -> None:
    sock = inherit()
    frame = receive(sock)
    if frame is not None:
        for message in _answers(_loads.decode(frame)):
            send(sock, body(message))
    os._exit(0)


def _answers(request: Load) -> tuple[TokenizerData | Model | LoadFailed, ...]:
    try:
        from .tokenizer_folder import open_tokenizer  # which imports Transformers

        return open_tokenizer(request)
    except BadModel as error:
        return (LoadFailed(code="bad_model", message=str(error)),)
    except UnsupportedModel as error:
        return (LoadFailed(code="unsupported", message=str(error)),)
    except MemoryError:
        return (
            LoadFailed(code="insufficient_memory", message="its tokenizer does not fit into this machine's memory"),
        )
    except Exception as error:
        text = " ".join(str(error).replace(request.path, "the model").split())[:300]
        return (LoadFailed(code="internal_error", message=f"{type(error).__name__}: {text}"),)


if __name__ == "__main__":
    main()
