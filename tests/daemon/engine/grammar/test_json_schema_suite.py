"""JSON Schema's own test suite: whatever compiles takes no answer that is invalid.

draft2020-12.jsonl is the suite's folder of that name, one schema a line, as the package `jsonschema` 4.26 carries it
(https://github.com/json-schema-org/JSON-Schema-Test-Suite, licence beside it); schemas that are only true or false
are left out, for no client may send one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.byte_vocabulary import END, matcher, takes

from mlx_serve.daemon.engine.grammar.answer_form import AnswerForm
from mlx_serve.daemon.engine.grammar.literals import BadGrammar, Block
from mlx_serve.daemon.protocol import Generate, Grammar, TextPrompt

SUITE = Path(__file__).with_name("draft2020-12.jsonl")
REFUSED = frozenset(
    {
        *(
            "contains",
            "minContains",
            "maxContains",
            "dependentRequired",
            "dependentSchemas",
            "dynamicRef",
        ),
        *("if-then-else", "not", "propertyNames", "refRemote", "unevaluatedItems", "unevaluatedProperties"),
        *("uniqueItems", "defs"),
    }
)
"""Keywords that the compiler does not know: their schemas are refused."""
FIGURES = {"compiled": 183, "refused": 183, "valid": 442, "invalid": 246}
"""As docs/structured-output.md has them: schemas, and the values that are tried on those that compile."""
NARROWED = {
    *("format", "const", "enum", "type"),  # formats are enforced; 1.0 is not written for 1
    "vocabulary",  # of a schema's own, which would turn keywords off
    *("additionalProperties", "properties", "allOf", "anyOf"),  # objects are closed
}


def cases() -> Iterator[dict[str, Any]]:
    for line in SUITE.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def compiled(schema: dict[str, Any]) -> Any:
    """None where the schema is refused."""
    wanted = Grammar(type="json_schema", source=json.dumps(schema))
    made = AnswerForm(Block("", ""), Block("", ""), None, {"<|end|>": END})
    try:
        return matcher(made.grammar(Generate(prompt=TextPrompt(text=""), grammar=wanted), "", False))
    except BadGrammar:
        return None


def test_nothing_invalid_is_taken() -> None:
    """Of every keyword. What is valid is taken too, but for what this page says is narrowed."""
    seen: Counter[tuple[str, str]] = Counter()
    for case in cases():
        keyword, whole = case["keyword"], compiled(case["schema"])
        if whole is None:
            seen[keyword, "refused"] += 1
            continue
        seen[keyword, "compiled"] += 1
        for description, value, valid in case["tests"]:
            taken = takes(whole, json.dumps(value, ensure_ascii=False))
            assert valid or not taken, (case["description"], description)
            assert taken or not valid or keyword in NARROWED, (case["description"], description)
            seen[keyword, "valid" if valid else "invalid"] += 1
    keywords = {keyword for keyword, _ in seen}
    for keyword in keywords - REFUSED:
        assert seen[keyword, "compiled"], f"nothing about {keyword} compiles"
    assert seen.total() > 900
    total: Counter[str] = Counter()
    for (_, what), count in seen.items():
        total[what] += count
    assert total == FIGURES


@pytest.mark.parametrize("keyword", sorted(REFUSED))
def test_keywords_that_cannot_be_kept_are_refused(keyword: str) -> None:
    """Rather than ignored: at least where nothing else in the schema is what is tested."""
    assert any(compiled(case["schema"]) is None for case in cases() if case["keyword"] == keyword)
