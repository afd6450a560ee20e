"""Arguments as elements: one for each, whose text stands as it is, and whose other values are JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..answer_rules import json_expression
from ..literals import BadGrammar, Literals
from .alternatives import Alternative, alternatives
from .plain_text import spelled, text_rules

_TAG = re.compile(r"<[^<>\s]+>")
_KEY = re.compile(r"(?!\s)[^<>\"\n]+(?<!\s)")
_DEFINITIONS = ("$defs", "definitions")


@dataclass(frozen=True)
class ElementRules:
    """`element` is the markup of one argument, with `{key}` and `{value}` in it, and `{string}` where it says whether
    the value is a text. `follows` is what may come behind the last one."""

    element: str
    follows: str
    parameters: Mapping[str, Any]
    strict: bool
    literals: Literals

    def rules(self, name: str) -> list[str]:
        """The rule of this name, and what it needs: arguments in the schema's order; those that are not required may
        be left out. Raises BadGrammar."""
        properties = dict(self.parameters.get("properties") or {})
        required = list(self.parameters.get("required") or [])
        properties |= {key: {} for key in required if key not in properties}
        parts, rules = [], []
        for place, (key, schema) in enumerate(properties.items()):
            if not _KEY.fullmatch(key):
                if key in required:
                    raise BadGrammar(f"this model's notation of calls cannot hold the name {key[:80]!r}")
                continue
            rule = f"{name}_{place}"
            parts.append(rule if key in required else f"{rule}?")
            rules += self._argument(rule, key, schema)
        return [f"{name}: {' '.join(parts) or EMPTY}", *rules]

    def _argument(self, rule: str, key: str, schema: Any) -> list[str]:
        ways, rules = [], []
        found = alternatives(schema, self.parameters, strict=self.strict)
        anything: list[Alternative] = [{}] if any("type" not in each and "enum" not in each for each in found) else []
        texts = anything or [each for each in found if each.get("type") == "string"]
        listed = [] if texts else [value for each in found for value in each.get("enum", ()) if isinstance(value, str)]
        for place, each in enumerate(texts):
            way = f"{rule}_t{place}"
            ways.append(f"{self._before(key, text=True)} {way}")
            rules += text_rules(way, self._after, each, self.literals, [self._misleading])
        if listed := [value for value in listed if self._ends not in value]:
            ways.append(f"{self._before(key, text=True)} {rule}_e {self.literals.lark(self._after)}")
            rules.append(f"{rule}_e: {' | '.join(map(self.literals.lark, listed))}")
        if other := _without_texts(found, nothing=bool(texts)):
            ways.append(f"{self._before(key, text=False)} {rule}_j {self.literals.lark(self._after)}")
            rules.append(f"{rule}_j: {self._json(schema, found, other)}")
        if not ways:
            raise BadGrammar(f"no value of {key[:80]!r} can be written in this model's notation of calls")
        return [f"{rule}: {' | '.join(ways)}", *rules]

    def _json(self, schema: Any, found: Sequence[Alternative], other: Sequence[Alternative]) -> str:
        """The schema itself where it allows no text, or else what it allows beside."""
        shared = {key: self.parameters[key] for key in _DEFINITIONS if key in self.parameters}
        if len(found) == len(other) and all(a is b for a, b in zip(found, other, strict=True)):
            whole = schema if isinstance(schema, dict) else {}
        else:
            whole = {"anyOf": [_spread(each) for each in other]}
        return json_expression(whole | shared, lenient=not self.strict)

    def _before(self, key: str, *, text: bool) -> str:
        before = self.element.partition("{value}")[0]
        return self.literals.lark(before.replace("{key}", key).replace("{string}", str(text).lower()))

    @property
    def _after(self) -> str:
        return self.element.partition("{value}")[2]

    @property
    def _ends(self) -> str:
        """The marker that ends a value."""
        return self._after.strip()

    @property
    def _misleading(self) -> str:
        """What would be read as the end of the value, and is none: its marker, and behind it what only follows one."""
        following = [self.element.partition("{key}")[0], *_TAG.findall(self.follows)]
        return f"{spelled(self._ends)}[ \\t\\r\\n]*({'|'.join(map(spelled, dict.fromkeys(following)))})"


EMPTY = '""'


def _without_texts(found: Sequence[Alternative], *, nothing: bool) -> list[Alternative]:
    """What is no text. `nothing`: where any text may come, a number would be read as one, and only null would not."""
    kept: list[Alternative] = []
    for each in found:
        if "enum" in each:
            values = [value for value in each["enum"] if not isinstance(value, str) and (value is None or not nothing)]
            kept += [each] if values == each["enum"] else [{"enum": values}] if values else []
        elif each.get("type") == "null" or ("type" in each and each["type"] != "string" and not nothing):
            kept.append(each)
    return kept


def _spread(each: Alternative) -> Alternative:
    """Again as JSON Schema has it."""
    patterns = [{"pattern": pattern} for pattern in each.get("pattern", ())]
    return {key: value for key, value in each.items() if key != "pattern"} | ({"allOf": patterns} if patterns else {})
