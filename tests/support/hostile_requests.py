"""Requests that a daemon must refuse or survive, made from its own OpenAPI document: so a new endpoint, and a new field
of one, is attacked as soon as it is described."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

Document = dict[str, Any]
Schema = dict[str, Any]
Wrap = Callable[[Any], Any]

PLACE = "the value stands here"
JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True)
class Attack:
    """`field`: names of the fields that lead to what is wrong, "" where nothing need be named. `wrong`: it has to be
    refused; others may be answered, as long as that is no failure of the server."""

    why: str
    method: str
    path: str
    body: bytes | None
    field: str = ""
    wrong: bool = True
    headers: tuple[tuple[str, str], ...] = JSON
    endpoint: str = ""


# Values of every type and size. Those in the second list no JSON type has, so that every field refuses them.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 1.5, -0.5, 1e-12, 1e300, -1e300, 100, 1000),
    *(2**31 - 1, 2**31, -(2**31), 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**64 - 1, 2**64, 10**30),
    *("", " ", "x", "1", "true", "null", "auto", "none", "\0", "a\nb", "\u2028", "😀", "../../etc/passwd", "%s%n"),
    *("a" * 257, "a" * 513, "a" * 1025, "é" * 300, "{{ 7 * 7 }}", "<|im_end|>", "data:,", "file:///etc/passwd"),
    *([], [None], [1], [-1], [1.5], ["x"], [""], [[]], [[1]], [["x"]], [{}], [[[[]]]], [True], ["x"] * 17),
    *(
        {},
        {"a": 1},
        {"": None},
        {"x": {}},
        {"type": "function"},
        {"type": "x"},
        {"name": 1},
        {"1": 1e9},
        {"a": [{}] * 50},
    ),
)
UNREADABLE: tuple[bytes, ...] = (
    *(b"NaN", b"Infinity", b"-Infinity", b"0x10", b"01", b"+1", b"'x'", b'"\\ud800"', b'"\\x41"', b'"\t"'),
    *(b"[1,]", b'{"a":}', b"{'a':1}", b"undefined", b"", b'"\xff"', b'"\xed\xa0\x80"', b"\0"),
)
"""No JSON, so that the whole body is none."""
LARGE: tuple[bytes, ...] = (
    *(b"1" + b"0" * 400, b"-1" + b"0" * 5000, b"0." + b"3" * 5000, b"1e400", b"-1e400", b"1e-400"),
    *(b"[" * 100 + b"]" * 100, b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 2000 + b"1" + b"}" * 2000),
    b"[" + b"0," * 100_000 + b"0]",
)
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class Attacks:
    """Of one document. `more`: further requests, by path, for the objects and lists in them. `seed` decides which of a
    great many are made."""

    def __init__(self, document: Document, more: Mapping[str, Sequence[dict[str, Any]]], seed: int = 0) -> None:
        self._document = document
        self._more = more
        self._chance = random.Random(seed)
        self._known: dict[str, list[tuple[Any, bool]]] = {}

    # --- one field at a time ------------------------------------------------------------------------------------------

    def of_fields(self, wrong_share: float = 1.0, other_share: float = 1.0) -> Iterator[Attack]:
        """Every value in every field of every body, also in those of lists and objects in it; or a share of the wrong
        ones, and one of those that may be answered."""
        shares = (other_share, wrong_share)
        for path, method, base, schema in self._bodies():
            for where, shape, wrap in self._places(schema, lambda value: value, base):
                if base in self._more.get(path, ()) and "." not in where:
                    continue
                before, after = json.dumps(wrap(PLACE)).encode().split(b'"%b"' % PLACE.encode())
                for value, wrong in self._values(shape):
                    if not wrong and where.rpartition(".")[2] in LIMITS and _takes_long(value):
                        continue
                    if self._chance.random() < shares[wrong]:
                        body = before + _literal(value) + after
                        yield Attack(f"{where} is {value!r:.60}", method, path, body, where, wrong, endpoint=path)
                for text in (*UNREADABLE, *LARGE):
                    if self._chance.random() < shares[text in UNREADABLE]:
                        body = before + text + after
                        why = f"{where} is {text[:40]!r}"
                        yield Attack(why, method, path, body, "", text in UNREADABLE, endpoint=path)

    def _values(self, shape: Schema) -> list[tuple[Any, bool]]:
        """With whether the field has to refuse it."""
        key = json.dumps(shape)
        if key not in self._known:
            check = Draft202012Validator({"components": self._document["components"]} | shape)
            self._known[key] = [(value, not check.is_valid(value)) for value in (*VALUES, *_around(shape))]
        return self._known[key]

    def without_fields(self) -> Iterator[Attack]:
        """Bodies that lack what they must have."""
        for path, method, base, schema in self._bodies():
            for where, shape, wrap in [("", schema, lambda value: value), *self._places(schema, lambda v: v, base)]:
                for part in self._objects(shape):
                    whole = base if not where else self._least(part)
                    for name in self._resolved(part).get("required", ()):
                        left = {key: value for key, value in whole.items() if key != name}
                        named = f"{where}.{name}".strip(".")
                        yield self._attack(f"{named} is missing", method, path, wrap(left), named, True)

    # --- whole bodies -------------------------------------------------------------------------------------------------

    def of_bodies(self) -> Iterator[Attack]:
        for path, method, base, _ in self._bodies():
            good = json.dumps(base).encode()
            bodies: dict[str, tuple[bytes | None, bool]] = {
                "no body": (None, False),
                "an empty body": (b"", False),
                "blanks": (b" \r\n\t", False),
                "null": (b"null", False),
                "a list": (b"[]", True),
                "a text": (b'"x"', True),
                "a number": (b"5", True),
                "cut short": (good[:-1], True),
                "cut in the middle": (good[: len(good) // 2], True),
                "something after it": (good + b"x", True),
                "two of it": (good + good, True),
                "no UTF-8": (good.replace(b"{", b'{"\xff\xfe":"\xc3\x28",', 1), True),
                "UTF-16": (good.decode().encode("utf-16"), True),
                "a byte order mark": (b"\xef\xbb\xbf" + good, True),
                "zero bytes": (b"\0" * 100, True),
                "every byte": (bytes(range(256)) * 8, True),
                "the same keys twice": (good[:-1] + b"," + good[1:], False),
                "an empty key": (good[:-1] + b',"":1}', False),
                "two thousand unknown fields": (
                    good[:-1] + b"".join(b',"u%d":[{}]' % number for number in range(2000)) + b"}",
                    False,
                ),
                "a form": (b"model=x&prompt=y", True),
                "deep lists": (b"[" * 300_000, True),
                "deep unknown field": (good[:-1] + b',"u":' + b"[" * 100_000 + b"]" * 100_000 + b"}", False),
            }
            for why, (body, wrong) in bodies.items():
                yield Attack(why, method, path, body, "", wrong, endpoint=path)
            for kind in (
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "x",
                "application/json;" * 50,
            ):
                yield Attack(f"as {kind:.40}", method, path, good, "", False, (("Content-Type", kind),), path)
            for coding in ("gzip", "br", "gzip, identity"):
                yield Attack(
                    f"coded as {coding}", method, path, good, "", True, (*JSON, ("Content-Encoding", coding)), path
                )

    # --- paths and methods --------------------------------------------------------------------------------------------

    def of_methods(self) -> Iterator[Attack]:
        """What the endpoint does not have."""
        for path, item in self._document["paths"].items():
            filled = path.replace("{id}", "starter").replace("{digest}", "sha256:" + "0" * 64)
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "QUERY", "A" * 20):
                if method.lower() not in item:
                    yield Attack(f"{method} of it", method, filled, b"{}", "", True, endpoint=path)

    def of_paths(self) -> Iterator[Attack]:
        """Names in paths, and paths that are nearly one."""
        ids = (
            *(
                "x" * 8000,
                "x" * 20_000,
                "%00",
                "%ff%fe",
                "%",
                "%zz",
                "..%2f..%2fetc%2fpasswd",
                "%2e%2e",
                "a%0d%0ab",
                "%F0%9F%98%80",
            ),
            *(
                "sha256:x",
                "sha256:" + "0" * 65,
                "sha256-" + "g" * 64,
                "a/b/c/d",
                ":",
                "a:",
                "-",
                "a" * 97,
                "%20",
                "a%2525",
            ),
        )
        for path, item in self._document["paths"].items():
            method = next(name for name in ("get", "post", "delete", "head") if name in item).upper()
            if "{" in path:
                head = path[: path.index("{")]
                for text in ids:
                    for each in {method, *({"POST"} if "post" in item else ())}:
                        yield Attack(f"names {text:.30}", each, head + text, None, "", True, endpoint=path)
                yield Attack("names nothing", method, head, None, "", True, endpoint=path)
            else:
                for changed in (
                    path + "/x",
                    path + "%00",
                    path + "\\"[:0] + "//",
                    "/" + path,
                    path.upper() + "Z",
                    path + ";a=b",
                ):
                    if changed.strip("/") != path.strip("/"):
                        yield Attack("nearly the path", method, changed, None, "", False, endpoint=path)
                query = path + "?" + "a=b&" * 500 + "%zz=%00&[]={}"
                yield Attack("a strange query", method, query, None, "", False, endpoint=path)

    # --- how they are made --------------------------------------------------------------------------------------------

    def _attack(self, why: str, method: str, path: str, body: Any, field: str, wrong: bool) -> Attack:
        return Attack(why, method, path, json.dumps(body).encode(), field, wrong, endpoint=path)

    def _bodies(self) -> Iterator[tuple[str, str, dict[str, Any], Schema]]:
        """Each endpoint that takes JSON, with a small request that works."""
        for path, item in self._document["paths"].items():
            for method in ("post", "delete"):
                content = item.get(method, {}).get("requestBody", {}).get("content", {}).get("application/json")
                if content is None:
                    continue
                base = deepcopy(content["example"])
                properties = self._resolved(content["schema"])["properties"]
                for name, small in (("max_tokens", 1), ("max_output_tokens", 1), ("options", {"num_predict": 1})):
                    if name in properties:
                        base[name] = small
                if "stream" in properties:
                    base["stream"] = False
                for each in (base, *self._more.get(path, ())):
                    yield path, method.upper(), each, content["schema"]

    def _places(
        self, schema: Schema, wrap: Wrap, whole: dict[str, Any], where: str = "", above: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, Schema, Wrap]]:
        """Each field with what is known of it, and how a value gets there."""
        for name, shape in self._resolved(schema).get("properties", {}).items():

            def put(value: Any, name: str = name) -> Any:
                return wrap(whole | {name: value})

            named = f"{where}.{name}".strip(".")
            yield named, shape, put
            for part, inside in self._inside(shape):
                reference = part.get("$ref", named)
                if reference in above:
                    continue

                def put_inside(value: Any, put: Wrap = put, inside: bool = inside) -> Any:
                    return put([value] if inside else value)

                yield from self._places(part, put_inside, self._inner(whole, name, part), named, (*above, reference))

    def _inner(self, whole: dict[str, Any], name: str, part: Schema) -> dict[str, Any]:
        """What the request has there already, so that it stays a good one but for one field; else the least that the
        part takes."""
        there: Any = whole.get(name)
        there = there[0] if isinstance(there, list) and there else there
        return there if isinstance(there, dict) else self._least(part)

    def _inside(self, shape: Schema) -> Iterator[tuple[Schema, bool]]:
        """The objects that a field takes; with True for those in a list."""
        for part in shape.get("anyOf") or shape.get("allOf") or [shape]:
            items = part.get("items")
            for each, inside in ((part, False), (items, True)):
                if each is not None:
                    yield from ((found, inside) for found in self._objects(each))

    def _objects(self, shape: Schema) -> Iterator[Schema]:
        for part in shape.get("anyOf") or shape.get("allOf") or [shape]:
            if "properties" in self._resolved(part):
                yield part

    def _least(self, shape: Schema) -> Any:
        """A small value of this shape."""
        shape = self._resolved(shape)
        if "enum" in shape:
            return next((value for value in shape["enum"] if value is not None), None)
        if "const" in shape:
            return shape["const"]
        for part in shape.get("anyOf") or shape.get("allOf") or ():
            if part.get("type") != "null":
                return self._least(part)
        kinds = shape.get("type", "string")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind == "object":
            properties = shape.get("properties", {})
            return {name: self._least(properties[name]) for name in shape.get("required", ())}
        return {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": [], "null": None}[kind]

    def _resolved(self, shape: Schema) -> Schema:
        while "$ref" in shape:
            node: Any = self._document
            for key in shape["$ref"].removeprefix("#/").split("/"):
                node = node[key]
            shape = node
        return shape


@cache
def _dumped(value: str) -> bytes:
    return json.dumps(value).encode()


def _literal(value: Any) -> bytes:
    return _dumped(value) if isinstance(value, str) else json.dumps(value).encode()


def _takes_long(value: Any) -> bool:
    return isinstance(value, int | float) and value > 100


def _around(shape: Schema) -> Iterator[Any]:
    """Values at the ends of what a field takes, and just beyond."""
    for part in (shape, *shape.get("anyOf", ())):
        for bound in BOUNDS:
            if bound in part:
                yield from (part[bound], part[bound] - 1, part[bound] + 1, part[bound] + 1e-6, part[bound] - 1e-6)
        if "maxLength" in part:
            yield from ("a" * part["maxLength"], "a" * (part["maxLength"] + 1))
        for value in part.get("enum", ()):
            if isinstance(value, str):
                yield from (value, value.upper() + "_", value + "\0")
