"""What msgspec knows of a type is there before threads decode it.

It learns a Struct when it first meets it, and hands a half-learned one to any other thread that asks meanwhile, which
then reads a null pointer: the process ends with SIGSEGV. A decoder that a module makes when it is imported has learned
its type, and all types in it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.imports import ROOT

PLAIN = {"Any", "None", "bool", "bytes", "dict", "float", "int", "list", "str", "tuple"}
FOLDERS = ("daemon", "control", "handlers", "store")


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def plain(kind: ast.expr) -> bool:
    """Whether it is made of nothing but Python's own types."""
    return all(one.id in PLAIN for one in ast.walk(kind) if isinstance(one, ast.Name))


def learned_late(tree: ast.AST) -> list[int]:
    """The lines where a type may be met for the first time in whichever thread comes by."""
    inside = {
        id(call)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for call in ast.walk(function)
    }
    found = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or id(call) not in inside:
            continue
        name = ast.unparse(call.func)
        kinds = [one.value for one in call.keywords if one.arg == "type"]
        if name == "msgspec.convert":  # of what a decoder has learned
            kinds += call.args[1:2]
            kinds = [kind for kind in kinds if not (isinstance(kind, ast.Attribute) and kind.attr == "type")]
        elif name in ("msgspec.json.Decoder", "msgspec.msgpack.Decoder"):
            kinds += call.args[:1]
        elif name not in ("msgspec.json.decode", "msgspec.msgpack.decode"):
            continue
        found += [call.lineno for kind in kinds if not plain(kind)]
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_types_are_learned_when_modules_are_imported(folder: str) -> None:
    late = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if path.relative_to(ROOT).parts[0] == folder and (lines := learned_late(ast.parse(path.read_text())))
    }
    assert late == {}, "make a decoder of these types where the module is imported"


@pytest.mark.parametrize(
    ("line", "late"),
    [
        ("msgspec.json.decode(data, type=Body)", True),
        ("msgspec.msgpack.decode(data, type=kind)", True),
        ("msgspec.json.decode(data, type=dict[str, Body])", True),
        ("msgspec.convert(value, kind)", True),
        ("msgspec.convert(value, type=kind)", True),
        ("msgspec.json.Decoder(Body).decode(data)", True),
        ("msgspec.json.decode(data, type=dict[str, Any])", False),
        ("msgspec.json.decode(data)", False),
        ("msgspec.convert(value, decoder.type)", False),
        ("decoder.decode(data)", False),
    ],
)
def test_the_rule_sees(line: str, late: bool) -> None:
    """What is done in a function; and not what a module does when it is imported."""
    assert bool(learned_late(ast.parse(f"def work():\n    return {line}"))) == late
    assert not learned_late(ast.parse(line))
