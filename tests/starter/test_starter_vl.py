"""starter-vl sees: mlx-vlm answers questions about pictures that were drawn for this test alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True)
class Question:
    pictures: tuple[str, ...]
    text: str
    answer: str


QUESTIONS = (
    Question(("circle",), "What shape is this?", "It is a circle."),
    Question(("circle",), "What color is the circle?", "The circle is red."),
    Question(("circle",), "Where is the circle?", "The circle is in the top left."),
    Question(("circle",), "Is it a square?", "No, it is a circle."),
    Question(("three",), "How many shapes are there?", "There are three shapes."),
    Question(("three",), "How many squares are there?", "There are two squares."),
    Question(("three",), "What colour is the triangle?", "The triangle is yellow."),
    Question(("pair",), "Is the square left of the circle?", "Yes, the square is left of the circle."),
    Question(("pair",), "Is there a green star?", "No, there is no green star."),
    Question(("four",), "Which digit is this?", "It is a 4."),
    Question(("seven",), "Which digit is this? Answer with one word.", "7"),
    Question(("circle", "four"), "What is in the first picture?", "A red circle."),
    Question((), "What shape is this?", "I see no picture. Please send one with your question."),
)


def _draw(folder: Path) -> None:
    """Sizes, colours and places of no special kind."""
    picture = Image.new("RGB", (240, 240), "white")
    ImageDraw.Draw(picture).ellipse((20, 24, 84, 88), "red")
    picture.save(folder / "circle.png")
    picture = Image.new("RGB", (320, 200), (235, 240, 250))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((30, 110, 80, 160), (0, 0, 255))
    draw.rectangle((140, 30, 190, 80), (0, 128, 0))
    draw.polygon(((240, 160), (300, 160), (270, 105)), (255, 220, 0), (0, 0, 0))
    picture.save(folder / "three.png")
    picture = Image.new("RGB", (200, 150), (20, 20, 24))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 50, 66, 96), "white")
    draw.ellipse((130, 50, 180, 100), "orange")
    picture.save(folder / "pair.png")
    for name, digit, colour in (("four", "4", "black"), ("seven", "7", (120, 30, 160))):
        picture = Image.new("RGB", (128, 128), (250, 250, 240))
        ImageDraw.Draw(picture).text((64, 64), digit, colour, ImageFont.load_default(96), "mm")
        picture.save(folder / f"{name}.png")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """All questions to one process."""
    folder = tmp_path_factory.mktemp("pictures")
    _draw(folder)
    asked = [{"text": each.text, "pictures": [f"{name}.png" for name in each.pictures]} for each in QUESTIONS]
    (folder / "questions.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-m", "reference.mlx_vision", "answers", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"},
        timeout=110,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len(QUESTIONS)
    return list(found)


@pytest.mark.parametrize("number", range(len(QUESTIONS)), ids=lambda number: QUESTIONS[number].text)
def test_it_answers_what_is_asked_about_a_drawing(number: int, answers: list[str]) -> None:
    assert answers[number] == QUESTIONS[number].answer
