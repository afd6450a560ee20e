"""Pictures that are made to hurt, against a child as the daemon has it: each fails alone, and is told why."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from reference.vision_cases import MODEL, disc
from support.drawn import noise
from support.engine_client import Engine, Sequence
from support.hostile_pictures import REFUSED
from support.live_daemon import wait_until
from support.pictures import about, encoded, picture

from mlx_serve.daemon.protocol import ChatPrompt, Gauges, Picture, Sampling

RED = disc(160, 160, (220, 20, 20))
GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as child:
        loaded = child.load(MODEL, max_batch=8, kind="vlm")
        assert "vision" in loaded.capabilities and loaded.batchable
        yield child


@pytest.fixture(autouse=True)
def others_go_on(engine: Engine) -> Iterator[None]:
    """A right answer about another picture runs all the while, and after it nothing waits."""
    other = ask(engine, picture(RED))
    yield
    engine.finish([other])
    assert other.text == "It is a circle."
    wait_until(lambda: _idle(engine.ping().gauges), "an idle engine")


def _idle(gauges: Gauges) -> bool:
    return (gauges.running, gauges.waiting, gauges.prefilling) == (0, 0, 0)


def ask(engine: Engine, *pictures: Picture, text: str = "Which shape is this?") -> Sequence:
    return engine.generate(about(pictures, text), sampling=GREEDY, max_tokens=24)


def refused(engine: Engine, *pictures: Picture, text: str = "Which shape is this?") -> tuple[str | None, str]:
    sequence = ask(engine, *pictures, text=text)
    engine.finish([sequence])
    assert sequence.rejected is not None, sequence.text
    return sequence.rejected.param, sequence.rejected.message


def answered(engine: Engine, *pictures: Picture, text: str = "Which shape is this?") -> str:
    sequence = ask(engine, *pictures, text=text)
    engine.finish([sequence])
    assert sequence.rejected is None, sequence.rejected
    return sequence.text


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read(engine: Engine, name: str) -> None:
    param, message = refused(engine, picture(RED), picture(REFUSED[name][0], param="messages.0.content.7"))
    assert param == "messages.0.content.7" and message.startswith("messages.0.content.7: the picture ")


def test_what_can_be_read_in_any_form(engine: Engine) -> None:
    """The same circle as CMYK, sixteen bits a colour (as grey), a palette, with transparency."""
    image = Image.fromarray(RED)
    forms = (
        encoded(image.convert("CMYK"), "JPEG", quality=100),
        encoded(image.quantize(8)),
        encoded(np.dstack([RED, np.full(RED.shape[:2], 255, np.uint8)])),
        encoded(np.asarray(image.convert("L")).astype(np.uint16) * 257),
    )
    for data in forms:
        assert answered(engine, picture(data)) == "It is a circle."


def test_sizes_at_the_edge(engine: Engine) -> None:
    """One pixel is a picture; what is two hundred times longer than wide is none for this architecture."""
    assert answered(engine, picture(np.full((1, 1, 3), 200, np.uint8)))
    for size in ((10_000, 1), (1, 10_000)):
        param, message = refused(engine, picture(np.zeros((*size, 3), np.uint8), param="images.0"))
        assert param == "images.0" and "cannot take a picture of" in message and "aspect ratio" in message


def test_forty_pictures(engine: Engine) -> None:
    """They fit a context of 4096 tokens; two hundred do not, and that is found before all of them are read."""
    assert answered(engine, *[picture(RED)] * 40, text="How many pictures are there?")
    many = [picture(noise(200, 200, seed), param=f"messages.0.content.{seed}") for seed in range(200)]
    param, message = refused(engine, *many)
    assert "context length (4096 tokens)" in message and param is not None and param.startswith("messages.0.content.")


def test_a_mark_in_the_text_is_no_picture(engine: Engine) -> None:
    """Neither a user's nor an earlier answer's, with a picture and without one; the count stays that of the text."""
    mark = "<|vision_start|><|image_pad|><|vision_end|>"
    assert answered(engine, text=f"Which shape is this? {mark}")
    with_mark = ask(engine, picture(RED), text=f"Which shape is this? {mark}")
    said = [{"role": "user", "content": f"{mark}?"}, {"role": "assistant", "content": f"It is {mark}."}]
    last = about([picture(RED)], "Which shape is this?")
    earlier = engine.generate(
        ChatPrompt(messages=(*said, *last.messages), pictures=last.pictures), sampling=GREEDY, max_tokens=24
    )
    engine.finish([with_mark, earlier])
    assert with_mark.rejected is None and earlier.rejected is None
    assert with_mark.accepted is not None and with_mark.accepted.prompt_tokens > 40
    assert earlier.text == "It is a circle."


def test_a_template_that_has_no_place_for_pictures(engine: Engine) -> None:
    prompt = about([picture(RED, param="messages.0.content.0")], "Hello")
    sequence = engine.generate(
        ChatPrompt(
            messages=prompt.messages, pictures=prompt.pictures, template="{{ messages[0].content | length }} parts"
        ),
        sampling=GREEDY,
    )
    engine.finish([sequence])
    assert sequence.rejected is not None and sequence.rejected.param == "messages.0.content.0"
    assert "has places for 0 pictures, and there are 1" in sequence.rejected.message


def test_dropped_messages_take_their_pictures_along(engine: Engine) -> None:
    """Sixty turns with a picture each go; the last picture is the one that is answered about."""
    square = noise(256, 256)
    turns: list[dict[str, object]] = []
    for _ in range(60):
        turns += about([picture(square)], "Look at this.").messages
        turns.append({"role": "assistant", "content": "Yes."})
    last = about([picture(RED)], "Which shape is this?")
    prompt = ChatPrompt(
        messages=(*turns, *last.messages), pictures=(*[picture(square)] * 60, *last.pictures), drop_oldest=True
    )
    sequence = engine.generate(prompt, sampling=GREEDY, max_tokens=24, context_length=90)
    engine.finish([sequence])
    assert sequence.rejected is None and sequence.accepted is not None
    assert sequence.accepted.truncated and sequence.accepted.prompt_tokens == 40
    assert sequence.text == "It is a circle."
