"""Small real pictures, and how clients send them."""

from __future__ import annotations

import base64
import io
from typing import Any

from fakes.serving import Serving
from PIL import Image, ImageDraw

SEEING = "acme/eyes"


def png(colour: str = "red", size: int = 8) -> bytes:
    """A square of one colour."""
    made = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(made, "PNG")
    return made.getvalue()


def drawn(colour: str, shape: str) -> bytes:
    """A circle, a square or a triangle on white, as starter-vl was taught to know them."""
    image = Image.new("RGB", (160, 160), "white")
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse((40, 40, 120, 120), fill=colour)
    elif shape == "square":
        pen.rectangle((40, 40, 120, 120), fill=colour)
    else:
        pen.polygon([(80, 35), (125, 120), (35, 120)], fill=colour)
    made = io.BytesIO()
    image.save(made, "PNG")
    return made.getvalue()


def noise(size: int) -> bytes:
    """Bytes that begin as a PNG file does, so many in all; no decoder would take them."""
    return (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * (size // 256 + 1))[:size]


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{encoded(data)}"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def seeing(serving: Serving) -> str:
    """The name of a model that sees, in the store from now on."""
    serving.store.add(SEEING, kind="vlm", capabilities=("completion", "vision"))
    return SEEING


def part(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}
