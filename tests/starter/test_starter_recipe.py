"""The recipe of the built-in models: same seeds, same data; held-out cases are held out; the grader is right."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import jinja2
import pytest
from support.starter_recipe import recipe

words = recipe("common.words")
phrases = recipe("common.phrases")
facts = recipe("llm.exchange.facts")
talk = recipe("llm.exchange.talk")
conversation = recipe("llm.conversation")
grading = recipe("llm.grading")
sample = recipe("llm.sample")
template = recipe("llm.template")
tools = recipe("llm.tool.tools")
transforms = recipe("llm.exchange.transforms")
system = recipe("llm.exchange.system")
asked = recipe("llm.asked")


def test_same_seed_same_conversations() -> None:
    """A run can be repeated: the generator draws from its seed alone."""
    for make in (conversation.conversation, conversation.long_conversation):
        assert [make(random.Random(7)) for _ in range(3)] == [make(random.Random(7)) for _ in range(3)]
    assert conversation.conversation(random.Random(1)) != conversation.conversation(random.Random(2))


def test_cases_are_the_same_each_time() -> None:
    """Evaluations can be compared: a task and a number name one case."""
    for task in conversation.CASES:
        assert conversation.case(task, 3) == conversation.case(task, 3)


def test_lists_share_no_word() -> None:
    """No list gives training a word that it keeps for the evaluation, and none keeps back nothing."""
    lists = [value for value in vars(words).values() if isinstance(value, words.Words)]
    assert len(lists) > 10
    for each in lists:
        assert each.held
        assert not {word.lower() for word in each.train} & {word.lower() for word in each.held}


def test_invented_names_of_the_evaluation_are_never_generated() -> None:
    """Names kept back do not slip in by another way, such as a mail address."""
    held = {name.lower() for name in words.FIRST_NAMES.held if len(name) > 6}
    rng = random.Random(3)
    seen: set[str] = set()
    for _ in range(1500):
        text = json.dumps(conversation.conversation(rng).messages, ensure_ascii=False).lower()
        seen.update(word for word in "".join(c if c.isalpha() else " " for c in text).split() if len(word) > 6)
    assert not seen & held


def _all_phrases() -> list[phrases.Phrases]:
    modules = [
        recipe(f"llm.{name}")
        for name in (
            "exchange.talk",
            "exchange.transforms",
            "exchange.memory",
            "exchange.arithmetic",
            "exchange.recall",
            "exchange.system",
            "exchange.part",
            "exchange.extract",
            "tool.tools",
            "tool.calls",
            "exchange.haystack",
        )
    ]
    found = [asks for module in modules for asks in module.ASKS.values()]
    found += [*modules[5].RULES.values(), *(asks for *_, asks in modules[6]._KNOWN)]
    found += [modules[2]._OTHER_TELLS, modules[2]._OTHER_ASKS]
    for topic in modules[2].TOPICS:
        found += [topic.tell, topic.ask]
    return found


def test_no_wording_is_trained_and_held() -> None:
    """Every list of wordings keeps some back, and nothing drawn from the others contains one of those."""
    lists = _all_phrases()
    assert len(lists) > 40
    rng = random.Random(13)
    for each in lists:
        held = {
            phrases.plain(text.removesuffix("<x>")) for pattern in each.held for text in phrases.expansions(pattern)
        }
        assert held
        trained = {phrases.plain(each.pick(rng, False)) for _ in range(200)}
        assert not [text for text in trained if any(kept in text for kept in held)]
        assert len(trained) > 15


def test_coined_words_of_training_are_not_those_of_the_evaluation() -> None:
    """Training invents words without end, and none of them is one that the evaluation keeps."""
    rng = random.Random(17)
    for _ in range(3000):
        assert not words.is_held(words.coined(rng))
        assert not words.is_held(words.coined_name(rng))


def test_a_word_is_cut_alike_wherever_it_stands() -> None:
    """Behind a space, a quote or an underscore the pieces of a word are the same; capitals in a row stand alone."""
    tokenizers = pytest.importorskip("tokenizers")
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(recipe("llm.tokenizer").SPLIT), behavior="isolated")
    pieces = [piece for piece, _ in split.pre_tokenize_str('a needle "needle" get_needle getNeedle NEE 12\n\nit')]
    assert pieces.count("needle") == 3
    assert pieces[-9:] == [" ", "N", "E", "E", " ", "1", "2", "\n\n", "it"]


def test_no_question_of_the_evaluation_about_mlx_serve_is_trained() -> None:
    """A held question differs from all that training asks, not only from what it is likely to ask."""
    rng = random.Random(11)
    trained = {talk._ask(rng, fact, False).lower().strip("?.! ") for fact in facts.FACTS for _ in range(150)}
    held = {talk._ask(rng, fact, True).lower().strip("?.! ") for fact in facts.FACTS for _ in range(20)}
    assert len(trained) > 5000
    assert not trained & held


def test_facts_are_those_of_the_program() -> None:
    """Every command is known, and what is said of a setting has the default that the documentation states."""
    docs = Path(__file__).parents[2] / "docs"
    answers = " ".join(fact.answer for fact in facts.FACTS)
    commands = re.findall(r"^## (mlx-serve \w+)", (docs / "commands.md").read_text(), re.MULTILINE)
    assert len(commands) > 20
    assert not [command for command in commands if f"`{command}" not in answers]
    setting = re.compile(r"`(\w+\.\w+)` .* Its default is (\S+)(?: \(none\))?\.")
    told = [found.groups() for fact in facts.FACTS if (found := setting.fullmatch(fact.answer))]
    settings = re.findall(r"^\| `(\w+\.\w+)` \| `([^`]*)`", (docs / "configuration.md").read_text(), re.MULTILINE)
    assert len(told) > 25
    assert not set(told) - set(settings)


def test_no_question_written_by_hand_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fact would be asked for in such words is asked for in others, however often it is drawn."""
    fact, text = asked.OF_FACTS[0]
    drawn = iter([text.upper(), f"{text}!", "Is it up?"])
    monkeypatch.setattr(talk, "_draw", lambda rng, fact: next(drawn))
    assert "is it up" in talk._ask(random.Random(1), fact, False).lower()


def test_questions_written_by_hand_are_asked_once_each() -> None:
    for task, samples in asked.SAMPLES.items():
        assert len({json.dumps(each.messages[:-1]) for each in samples}) == len(samples)
        assert conversation.cases(task, range(64, 1000)) == samples[64:]


def test_facts_that_are_easily_confused_stand_beside_each_other() -> None:
    """Near commands are taught in one conversation: each stop, each start of the service."""
    answers = [fact.answer for fact in facts.FACTS]
    at = next(i for i, answer in enumerate(answers) if answer.startswith("`mlx-serve stop --all`"))
    near = [answers[i] for i in facts.alike(at)[:3]]
    assert any(answer.startswith("`mlx-serve stop` ") for answer in near)
    assert any(answer.startswith("`mlx-serve stop --force`") for answer in near)


def test_a_sum_is_counted_by_its_words_and_not_solved() -> None:
    rng = random.Random(8)
    counted = [transforms.count(rng, False) for _ in range(1500)]
    assert any("plus" in each.user and each.answer.endswith("words.") for each in counted)
    assert any(each.answer == "1, 2, 3, 4" for each in counted)


def test_an_ending_is_asked_for_with_and_without_marks() -> None:
    rng = random.Random(8)
    prompts = [each.prompt for each in (system.style(rng, False) for _ in range(1500)) if each.task == "system: ending"]
    assert 0.2 < sum('"' in prompt for prompt in prompts) / len(prompts) < 0.8


def test_tools_of_the_evaluation_are_new() -> None:
    rng = random.Random(5)
    trained = {tools.tool(rng, False).name.lower() for _ in range(5000)}
    held = {tools.tool(rng, True).name.lower() for _ in range(2000)}
    assert not trained & held


def test_facts_pass_their_own_check() -> None:
    """Each answer holds the words that the grader asks for."""
    for fact in facts.FACTS:
        assert grading.passes(("contains", fact.must), fact.answer), fact.answer
        assert fact.names or fact.tasks or fact.asks
        assert fact.held_names or fact.held_tasks or fact.held_asks


@pytest.mark.parametrize("task", list(conversation.CASES))
def test_the_expected_answer_is_graded_right(task: str) -> None:
    """The grader takes what training teaches, and nothing that another case wants."""
    cases = [conversation.case(task, seed) for seed in range(12)]
    golden = [template.pieces(case)[-1][0].removesuffix("<|im_end|>") for case in cases]
    for case, text in zip(cases, golden, strict=True):
        result = grading.grade(case, text, True)
        assert result.right and result.thought, text
        assert result.named is not False
        wrong = grading.grade(case, "<think>\nx\n</think>\n\nno" if case.thinking else "no", True)
        assert not wrong.right


def test_grader_refuses_wrong_tools_arguments_and_thinking() -> None:
    case = sample.Sample("t", [], [], False, ("calls", [("open_door", {"room": "attic"})]))
    good = tools.written("open_door", {"room": "attic"})
    assert grading.grade(case, good, True) == grading.Grade(True, True, True, True)
    assert not grading.grade(case, tools.written("open_door", {"room": "cellar"}), True).right
    assert grading.grade(case, tools.written("open_door", {"room": "cellar"}), True).named
    assert not grading.grade(case, tools.written("open_window", {"room": "attic"}), True).named
    assert not grading.grade(case, good.replace("}}", "}"), True).named
    assert not grading.grade(case, "<think>\n\n</think>\n\n" + good, True).thought
    assert not grading.passes(("number", 12), "112")
    assert not grading.passes(("json", {"age": 3}), '{"age": "3"}')


def test_training_format_is_the_template_that_ships() -> None:
    """What training writes in Python is what the Jinja template renders, for prompts with and without thinking."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    rendered = environment.from_string(template.TEMPLATE)
    rng = random.Random(9)
    for _ in range(250):
        drawn = conversation.conversation(rng)
        given = template.arguments(drawn)
        assert rendered.render(messages=given.pop("conversation"), **given) == template.prompt(drawn)


def test_choices_nest() -> None:
    assert sorted(phrases.expansions("a (b|c (d|e)|) f")) == ["a b f", "a c d f", "a c e f", "a f"]
