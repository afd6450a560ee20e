"""Names: the grammar, equality without case, cleaning, and the order of look-up."""

from __future__ import annotations

import random
import string

import pytest

from mlx_serve.store.aliases import ALIASES
from mlx_serve.store.errors import AmbiguousName, InvalidName, UnknownModel, with_hint
from mlx_serve.store.lookup import look_up, spelled
from mlx_serve.store.names import Name, clean


@pytest.mark.parametrize(
    ("text", "full", "shown"),
    [
        ("owner/model", "owner/model:latest", "owner/model"),
        ("owner/model:latest", "owner/model:latest", "owner/model"),
        ("owner/model:4bit", "owner/model:4bit", "owner/model:4bit"),
        ("model", "local/model:latest", "local/model"),
        ("Qwen3-0.6B-4bit:v1.0", "local/Qwen3-0.6B-4bit:v1.0", "local/Qwen3-0.6B-4bit:v1.0"),
        ("_a/_b:_c", "_a/_b:_c", "_a/_b:_c"),
    ],
)
def test_parse_fills_in_owner_and_tag(text: str, full: str, shown: str) -> None:
    name = Name.parse(text)
    assert str(name) == full
    assert name.display() == shown
    assert Name.parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a b", "/", "a/", "/a", "a//b", "a/b/c", "../a", "a/..", "a..b", "a/b:..", ".a", "-a", "a:", ":a",
        "a:b:c", "a\n", "a\0", "a\\b", "a/b:c/d", "http://host/a", "host:80/a/b", "é", "a%2fb", "a" * 97,
        "a:" + "b" * 81, "x" * 100_000, "~", "a@b", "\u2170", "\u212a",
    ],
)  # fmt: skip
def test_texts_that_could_mean_a_path_or_a_host_are_no_names(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        Name.parse(text)
    assert len(str(caught.value)) < 500
    assert caught.value.hint


def test_no_random_text_makes_a_name_that_leaves_its_folder() -> None:
    """Whatever parses consists of three plain path parts."""
    letters = string.ascii_letters[:4] + "./:-_\\~\n\0 é"
    generator = random.Random(5)
    parsed = 0
    for _ in range(20_000):
        text = "".join(generator.choices(letters, k=generator.randint(1, 9)))
        try:
            name = Name.parse(text)
        except InvalidName:
            continue
        parsed += 1
        for part in (name.owner, name.model, name.tag):
            assert part[0] not in ".-"
            assert ".." not in part
            assert set(part) <= set(string.ascii_letters + string.digits + "._-")
        assert Name.parse(str(name)) == name
        assert Name.parse(name.display()) == name
    assert parsed > 100


def test_a_name_cannot_be_built_around_the_grammar() -> None:
    with pytest.raises(InvalidName):
        Name("..", "b")


def test_names_that_differ_in_case_are_one_name() -> None:
    assert Name.parse("Owner/Model:TAG") == Name.parse("owner/mODEL:tag")
    assert len({Name.parse("A/b"), Name.parse("a/B")}) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("My Model (v2)", "My-Model-v2"), ("..", "model"), ("", "model"), (".hidden", "hidden"), ("a..b", "a.b"),
     ("日本語", "model"), ("x" * 300, "x" * 96), ("--a--", "a")],
)  # fmt: skip
def test_any_folder_name_becomes_a_valid_name(text: str, expected: str) -> None:
    assert clean(text) == expected
    Name("local", clean(text))


NAMES = [Name.parse(text) for text in ("Qwen/Qwen3-0.6B", "local/tiny", "other/Tiny", "mlx/gemma:4bit", "local/gpt")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("qwen/qwen3-0.6b:LATEST", "Qwen/Qwen3-0.6B"),
        ("qwen3-0.6b", "Qwen/Qwen3-0.6B"),
        ("gemma:4bit", "mlx/gemma:4bit"),
        ("Chat", "Qwen/Qwen3-0.6B"),
        ("gpt", "mlx/gemma:4bit"),
        ("local/gpt", "local/gpt"),
        ("odd name!", "local/gpt"),
    ],
)
def test_exact_comes_before_alias_and_alias_before_short_name(text: str, found: str) -> None:
    aliases = {"chat": "Qwen3-0.6B", "gpt": "mlx/gemma:4bit", "local/gpt": "Qwen/Qwen3-0.6B", "odd name!": "local/gpt"}
    assert look_up(text, NAMES, aliases).display() == found


def test_a_short_name_of_two_owners_lists_both() -> None:
    with pytest.raises(AmbiguousName) as caught:
        look_up("TINY", NAMES, {})
    assert caught.value.candidates == ("local/tiny", "other/Tiny")
    assert "local/tiny" in str(caught.value)


def test_an_unknown_name_suggests_near_ones() -> None:
    with pytest.raises(UnknownModel) as caught:
        look_up("qwen3-0.6", NAMES, {})
    assert caught.value.suggestions == ("Qwen/Qwen3-0.6B",)
    assert "did you mean Qwen/Qwen3-0.6B?" in str(caught.value)
    told = with_hint(str(caught.value), caught.value.hint)
    assert told.endswith("did you mean Qwen/Qwen3-0.6B? `mlx-serve list` shows what is installed")
    with pytest.raises(UnknownModel, match=r"did you mean mine\?"):  # as listings call it
        look_up("mime", [Name.parse("local/mine")], {})
    assert with_hint("model 'x' not found", "look") == "model 'x' not found; look"
    with pytest.raises(UnknownModel) as caught:
        look_up("zzzzzz", NAMES, {})
    assert caught.value.suggestions == ()


@pytest.mark.parametrize("text", ["gemma", "mlx/gemma", "other/gpt"])
def test_neither_tag_nor_owner_is_guessed(text: str) -> None:
    with pytest.raises(UnknownModel):
        look_up(text, NAMES, {})


@pytest.mark.parametrize("text", ["qwen3:0.6b", "QWEN3:0.6B"])
def test_a_name_that_the_user_gave_comes_before_the_built_in_alias(text: str) -> None:
    """`copy x qwen3:0.6b` is what `qwen3:0.6b` means from then on."""
    names = [Name.parse("mlx-community/Qwen3-0.6B-4bit"), Name.parse("qwen3:0.6b")]
    assert look_up(text, names, ALIASES).display() == "local/qwen3:0.6b"
    assert look_up(text, names[:1], ALIASES).display() == "mlx-community/Qwen3-0.6B-4bit"


@pytest.mark.parametrize(
    "text",
    ["hf.co/qwen/qwen3-0.6b", "https://huggingface.co/Qwen/Qwen3-0.6B", "registry.ollama.ai/library/qwen3-0.6b:latest"],
)
def test_the_host_of_a_name_does_not_matter(text: str) -> None:
    assert look_up(text, NAMES, {}).display() == "Qwen/Qwen3-0.6B"


def test_latest_is_an_alias_too() -> None:
    """Ollama's clients add it."""
    assert look_up("Chat:latest", NAMES, {"chat": "local/gpt"}).display() == "local/gpt"


def test_names_are_spelled_without_our_owners_where_that_finds_them() -> None:
    """Whatever is listed finds the model again; what two owners share has its owner."""
    texts = ("foo", "bar:v1", "mlx-serve/starter", "a/b", "tiny", "x/Tiny", "mlx-serve/q")
    names = [Name.parse(text) for text in texts]
    aliases = ALIASES | {"q": "a/b"}
    shown = spelled(names, aliases)
    assert [shown[name] for name in names] == [
        *("foo", "bar:v1", "starter", "a/b", "local/tiny", "x/Tiny"),
        "mlx-serve/q",
    ]
    for name, text in shown.items():
        assert look_up(text, names, aliases) == name
        assert look_up(text if ":" in text else f"{text}:latest", names, aliases) == name
    both = [Name.parse("starter"), Name.parse("mlx-serve/starter")]
    assert set(spelled(both, ALIASES).values()) == {"local/starter", "mlx-serve/starter"}
