"""The recipe of starter-vl: same seeds, same data; held-out cases are held out; the grader is right."""

from __future__ import annotations

import json
import random

import jinja2
import numpy as np
import pytest
from support.starter_recipe import recipe

phrases = recipe("common.phrases")
grading = recipe("vl.grading")
outlines = recipe("vl.picture.outlines")
painter = recipe("vl.picture.painter")
patches = recipe("vl.picture.patches")
scene = recipe("vl.picture.scene")
speech = recipe("vl.speech")
talk = recipe("vl.talk")
template = recipe("vl.template")
wordings = recipe("vl.wordings")


def test_same_seed_same_pictures_and_questions() -> None:
    """A run can be repeated: the generator draws from its seed alone."""
    assert [talk.conversation(random.Random(7)) for _ in range(3)] == [talk.conversation(random.Random(7))] * 3
    assert talk.conversation(random.Random(1)) != talk.conversation(random.Random(2))


@pytest.mark.parametrize("task", talk.TASKS)
def test_the_expected_answer_is_graded_right_and_no_other_is(task: str) -> None:
    """A task and a number name one case, and the grader takes what training teaches for it."""
    for number in range(8):
        case = talk.case(task, number)
        assert case == talk.case(task, number)
        assert case.task == task
        assert grading.is_right(case, case.answer) and grading.is_same(case, case.answer)
        assert not grading.is_right(case, "")
        assert not grading.is_right(case, "It is a hexagon.")


@pytest.mark.parametrize(
    ("kind", "answer", "right", "wrong"),
    [
        ("shape", "It is a circle.", "The shape is a circle.", "The triangle is a circle."),
        ("colour", "Grey", "The star is gray.", "It is black."),
        ("count", "There are three shapes.", "Three", "There are four shapes."),
        ("count of a kind", "There are no hearts.", "None", "There is one heart."),
        ("position", "It is in the top left.", "At the left, at the top.", "It is on the left."),
        ("digit", "It is an 8.", "8", "It is an 80."),
        ("yes or no", "No, it is red.", "No, the colour is red.", "Yes, it is red."),
        ("relation", "A blue star.", "It is a blue star.", "A blue heart."),
        (
            "describe",
            "Two shapes, from left to right: a red cross and an orange oval.",
            "Two shapes, from left to right: an orange oval and a red cross.",
            "Two shapes, from left to right: an orange oval and an orange oval.",
        ),
        ("no picture", "I see no picture.", "I see no picture.", "I see a picture."),
    ],
)
def test_an_answer_is_right_by_what_it_names(kind: str, answer: str, right: str, wrong: str) -> None:
    case = talk.Sample("any", kind, [{"role": "assistant", "content": answer}], ())
    assert grading.is_right(case, right)
    assert not grading.is_right(case, wrong)


def test_training_never_draws_what_the_evaluation_keeps() -> None:
    """Pairs of shape and colour, and shades; the evaluation does draw both."""
    rng = random.Random(4)
    trained = [thing for _ in range(1500) for picture in talk.conversation(rng).scenes for thing in picture.things]
    trained = [thing for thing in trained if thing.colour]
    assert len(trained) > 2000
    assert not {(thing.name, thing.colour) for thing in trained} & scene.HELD_PAIRS
    assert sum(scene._is_held(thing.rgb) for thing in trained) < len(trained) / 100
    held = [
        thing
        for task in ("shape", "count", "relation")
        for number in range(120)
        for picture in talk.case(task, number).scenes
        for thing in picture.things
    ]
    assert {(thing.name, thing.colour) for thing in held} >= scene.HELD_PAIRS
    assert sum(scene._is_held(thing.rgb) for thing in held) > len(held) / 2


def test_forms_of_the_evaluation_are_new() -> None:
    """Both draw from the same range, from bands that do not meet."""
    rng = random.Random(1)
    trained = [outlines.band(rng, 2.0, 4.0, False) for _ in range(500)]
    held = [outlines.band(rng, 2.0, 4.0, True) for _ in range(500)]
    assert not [value for value in trained if min(held) < value < max(held)]
    assert min(trained) < 2.1 and max(trained) > 3.9


def test_no_wording_is_trained_and_held() -> None:
    """Every list of wordings keeps some back, and none of those can come out of the others."""
    lists = [*wordings.ASKS.values(), speech.BEFORE, *(asks for _, asks, _ in speech.SPOKEN)]
    assert len(lists) > 18
    for each in lists:
        trained = {text.lower() for pattern in each.train for text in phrases.expansions(pattern)}
        held = {text.lower() for pattern in each.held for text in phrases.expansions(pattern)}
        assert held
        assert not trained & held


def test_things_lie_within_the_picture_and_apart() -> None:
    rng = random.Random(6)
    for count in (2, 3, 4, 5, 6) * 12:
        picture = scene.several(rng, False, count)
        width, height = picture.size
        assert len(picture.things) == count
        for i, a in enumerate(picture.things):
            assert a.size <= a.x <= width - a.size and a.size <= a.y <= height - a.size
            for b in picture.things[:i]:
                assert ((a.x - b.x) ** 2 + (a.y - b.y) ** 2) ** 0.5 > 1.2 * (a.size + b.size)


def test_a_painted_shape_has_its_colour_in_its_place() -> None:
    """The evaluation's brush puts a filled shape where the scene says."""
    ground = scene.Background(0, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0.0, 0.3, 0.0)
    for name in scene.SHAPES:
        thing = scene.Thing(name, "red", (1.0, 0.0, 0.0), 1.4, 0.5, 0.3, 0.3, None, None, 5)
        pixels = np.asarray(painter.paint(scene.Scene(200, 100, ground, (thing,))))
        assert pixels.shape == (100, 200, 3)
        assert pixels[50, 140].tolist() == [255, 0, 0]
        assert pixels[50, 40].tolist() == [255, 255, 255]


def test_training_format_is_the_template_that_ships() -> None:
    """What training writes in Python is what the Jinja template renders, with and without pictures."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    rendered = environment.from_string(template.TEMPLATE)
    rng = random.Random(9)
    for _ in range(250):
        messages = talk.conversation(rng).messages
        assert rendered.render(messages=messages[:-1], add_generation_prompt=True) == template.prompt(messages)
        assert json.loads(json.dumps(messages)) == messages


@pytest.mark.parametrize(
    ("size", "pixels"),
    [((448, 448), (192, 192)), ((56, 56), (160, 160)), ((100, 200), (128, 256)), ((176, 176), (192, 192))],
)
def test_sizes_become_multiples_within_bounds(size: tuple[int, int], pixels: tuple[int, int]) -> None:
    assert patches.resized(*size) == pixels


def test_patches_stand_in_blocks_of_four() -> None:
    """The order in which the model's merger takes them, and positions that reach from corner to corner."""
    places = patches.places(4, 6, 12)
    assert list(zip(places.row.tolist(), places.column.tolist(), strict=True))[:6] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (0, 2),
        (0, 3),
    ]
    np.testing.assert_allclose(places.mix.sum(1), 1, atol=1e-6)
    assert places.mix[0, 0] == places.mix[-1, -1] == 1
    known = patches.table(12)
    start = known.start[2, 3]
    assert known.places.column[start : start + 24].tolist() == places.column.tolist()


def test_a_nameless_colour_is_never_spoken_of() -> None:
    rng = random.Random(2)
    asked = 0
    for _ in range(1200):
        drawn = talk.conversation(rng)
        if drawn.scenes and drawn.scenes[0].things and not drawn.scenes[0].things[0].colour and len(drawn.scenes) == 1:
            asked += 1
            said = " ".join(m["content"] for m in drawn.messages if m["role"] == "assistant").lower()
            assert not {word.strip(".,") for word in said.split()} & set(scene.COLOURS), said
    assert asked > 60
