"""One table says what a sampling parameter is; what crosses the border and what the engine resolves follow it."""

from __future__ import annotations

import typing

import msgspec
import pytest

from mlx_serve.daemon.parameters import TABLE, Field, Parameters
from mlx_serve.daemon.protocol import Sampling


def test_the_frames_carry_the_tables_parameters() -> None:
    """Each by its name and type, optional, beside what is no row of the table."""
    types = typing.get_type_hints(Sampling)
    assert set(types) - {"logit_bias", "seed"} == set(TABLE)
    for name, parameter in TABLE.items():
        assert types[name] == ((int if parameter.integer else float) | None)
        assert msgspec.structs.asdict(Sampling())[name] is None


def test_neutral_values_are_in_range_and_the_default() -> None:
    for name, parameter in TABLE.items():
        assert parameter.clamped(parameter.neutral) == parameter.neutral == getattr(Parameters(), name)
        assert type(parameter.clamped(parameter.neutral)) is (int if parameter.integer else float)


@pytest.mark.parametrize("dialect", ["openai", "ollama"])
def test_the_dialects_names_are_their_own(dialect: str) -> None:
    """No two parameters share a name, and no range is empty."""
    accepted: list[Field] = [one for one in (getattr(row, dialect) for row in TABLE.values()) if one is not None]
    assert len({one.name for one in accepted}) == len(accepted) >= 7
    assert all(one.least < one.most for one in accepted)


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [("top_k", -1, 0), ("top_k", 40, 40), ("top_p", 5, 1.0), ("min_p", 7.0, 1.0), ("penalty_window", -3, 0)],
)
def test_values_beyond_the_range_become_the_nearest(name: str, given: float, taken: float) -> None:
    value = TABLE[name].clamped(given)
    assert value == taken
    assert type(value) is type(taken)
