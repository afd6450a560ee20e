"""Pictures as the daemon hands them to an engine, and requests about them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from mlx_serve.daemon.protocol import ChatPrompt, Picture


def encoded(image: Image.Image | NDArray[Any], format: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file."""
    made = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(made, format, **options)
    return made.getvalue()


def picture(data: bytes | Image.Image | NDArray[Any], **options: Any) -> Picture:
    content = data if isinstance(data, bytes) else encoded(data)
    return Picture(data=content, digest=hashlib.sha256(content).hexdigest(), **options)


def about(pictures: Sequence[Picture], text: str, **options: Any) -> ChatPrompt:
    """One message: the pictures, then the text."""
    content: Any = [*({"type": "image"} for _ in pictures), {"type": "text", "text": text}] if pictures else text
    return ChatPrompt(messages=({"role": "user", "content": content},), pictures=tuple(pictures), **options)
