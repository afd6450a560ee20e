"""The recipes of the retrieval models: same seeds, same data; held-out cases are held out; near texts do not answer."""

from __future__ import annotations

import random

import jinja2
import pytest
from support.starter_recipe import recipe

kinds = recipe("meanings.kinds")
slots = recipe("meanings.slots")
scenes = recipe("meanings.scenes")
serving = recipe("meanings.serving")
facts = recipe("llm.exchange.facts")
examples = recipe("meanings.examples")
words = recipe("common.words")
batches = recipe("embed.batches")
prompt = recipe("rerank.prompt")
ranking = recipe("rerank.batches")

_ALL = [kind for found in kinds.kinds().values() for kind in found]


def test_same_seed_same_examples() -> None:
    """A run can be repeated: the generator draws from its seed alone."""
    make = lambda seed: [examples.example(random.Random(seed), 3) for _ in range(5)]  # noqa: E731
    assert make(7) == make(7)
    assert make(7) != make(8)


def test_cases_are_the_same_each_time() -> None:
    for task in examples.TASKS:
        assert examples.case(task, 3, 7) == examples.case(task, 3, 7)


def test_no_list_shares_a_word() -> None:
    """What fills a gap in the evaluation never fills it in training; none of the lists keeps back nothing."""
    lists = slots.LISTS
    assert len(lists) > 20
    for name, each in lists.items():
        assert each.held, name
        assert not {word.lower() for word in each.train} & {word.lower() for word in each.held}, name


@pytest.mark.parametrize("kind", _ALL, ids=lambda kind: f"{kind.domain} {kind.name}")
def test_no_wording_is_trained_and_held(kind: object) -> None:
    """Every trained kind keeps back wordings of statements and questions, none of which its others can make."""
    for phrases in (kind.statements, kind.questions):  # type: ignore[attr-defined]
        train, held = kinds.wordings(phrases)
        assert train
        assert held or kind.held  # type: ignore[attr-defined]
        assert not train & held


def test_facts_that_may_read_the_same_are_the_same() -> None:
    """A gap that some wordings leave out tells no two facts apart: a near text must be wrong however it is told."""
    kind = next(kind for kind in _ALL if (kind.domain, kind.name) == ("weather", "temperature"))
    assert kind.keys == ("city",)
    facts = [
        kind.meaning(random.Random(1), False, {"city": "Oslo", "celsius": "4", "day": day})
        for day in ("Monday", "Friday")
    ]
    assert facts[0].key == facts[1].key
    assert facts[0].question_key == facts[1].question_key
    assert all(set(kind.keys) <= set(kind.told) for kind in _ALL)


def test_training_never_meets_what_is_held() -> None:
    """No kind of fact and no scene of the evaluation comes up in training."""
    new = {f"{kind.domain} {kind.name} " for kind in _ALL if kind.held}
    assert len(new) == len(kinds.kinds())
    rng = random.Random(3)
    trained = {key for _ in range(4000) for text in _texts(examples.example(rng, 2)) for key in text.keys}
    assert not [key for key in trained for start in new if key.startswith(start)]
    held = {examples.case("scene paraphrase", i, 1).key for i in range(500)}
    assert not trained & held


def _texts(found: object) -> list[object]:
    return [found.fits, *found.others]  # type: ignore[attr-defined]


def test_no_question_of_the_evaluation_about_mlx_serve_is_trained() -> None:
    rng = random.Random(11)
    trained = {serving.ask(rng, fact, False).lower().strip("?.! ") for fact in facts.FACTS for _ in range(150)}
    held = [serving.ask(rng, fact, True).lower().strip("?.! ") for fact in facts.FACTS for _ in range(20)]
    assert sum(text in trained for text in held) < len(held) / 200


@pytest.mark.parametrize("task", list(examples.TASKS))
@pytest.mark.parametrize("longest", [3, 12])
def test_near_texts_do_not_answer(task: str, longest: int) -> None:
    """The right text has the key of the query, and no other text has it."""
    rng = random.Random(5)
    for number in range(150):
        held = bool(number % 2)
        found = examples.TASKS[task](rng, held, 5, longest)
        assert found.key in found.fits.keys
        assert len(found.others) == 5
        assert not [text for text in found.others if found.key in text.keys]
        assert "<" not in found.query.replace("<x>", "") or found.domain == "mlx-serve"


def test_a_scene_is_told_in_different_words() -> None:
    """Synonyms change, the meaning stays: two tellings share less than the scene has words."""
    rng = random.Random(2)
    same = 0
    for _ in range(200):
        of = scenes.scene(rng, False)
        same += scenes.tell(rng, of, False) == scenes.tell(rng, of, False)
    assert same < 40


def test_texts_of_others_that_answer_are_known() -> None:
    """In a batch a text that happens to answer somebody else's query is no negative for it."""
    rng = random.Random(4)
    one, other = (examples.TASKS["question"](rng, False, 2, 1) for _ in range(2))
    wanted, keys = batches.answered([one, other, one])
    answers = (wanted[:, None, None] == keys).any(-1)
    assert answers.shape == (3, 9)
    assert {(int(i), int(j)) for i, j in zip(*answers.nonzero(), strict=True)} == {
        (0, 0),
        (0, 2),
        (1, 1),
        (2, 0),
        (2, 2),
    }


def test_queries_have_the_form_of_qwen3_embedding() -> None:
    assert examples.prompted(examples.INSTRUCTION, "hello") == (
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:hello"
    )


def test_prompts_have_the_form_of_qwen3_reranker() -> None:
    """The chat template makes the same prompt that the recipe trains on."""
    expected = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        "<Instruct>: i\n<Query>: q\n<Document>: d<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert prompt.PREFIX + prompt.body("i", "q", "d") + prompt.SUFFIX == expected
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(prompt.TEMPLATE)
    system = prompt.PREFIX.split("<|im_end|>")[0].removeprefix("<|im_start|>system\n")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt.body("i", "q", "d")}]
    assert template.render(messages=messages, add_generation_prompt=True, enable_thinking=False) == expected


def test_an_echo_of_the_question_is_among_the_wrong_documents() -> None:
    """The reranker must learn that a text with all words of the query may still be no answer."""
    rng = random.Random(6)
    found = [examples.example(rng, ranking.OTHERS) for _ in range(60)]
    echoes = sum(one.query in document for one in found for document in ranking._documents(rng, one, None)[1:])
    assert echoes > 5


def test_texts_lie_behind_each_other_in_a_batch() -> None:
    """Bounds cut the texts, the rest is filled up with pieces no longer than the longest text."""
    batch = recipe("meanings.batch")
    flat, bounds = batch.laid_out([[1, 2], [3], [4, 5, 6]], 13, 9)
    assert flat.tolist() == [1, 2, 3, 4, 5, 6, *[9] * 7]
    assert bounds.tolist() == [0, 2, 3, 6, 9, 12, 13]
    assert batch.laid_out([[1, 2]], 2, 9)[1].tolist() == [0, 2]
