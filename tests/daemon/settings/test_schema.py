"""The tree of settings: its keys, and the other names that some of them have."""

from __future__ import annotations

from dataclasses import fields

from mlx_serve.daemon.settings.schema import BY_KEY, FLAGS, SECTIONS, SHORT_NAMES, Settings, variable


def test_every_section_is_a_part_of_the_tree() -> None:
    """In the same order, so that files, listings and the tree agree."""
    names = [each.name for each in fields(Settings) if each.name in SECTIONS]
    assert names == list(SECTIONS)
    assert {key.partition(".")[0] for key in BY_KEY} == set(SECTIONS)


def test_short_names_and_flags_stand_for_settings_that_exist() -> None:
    assert set(SHORT_NAMES.values()) | set(FLAGS) <= set(BY_KEY)


def test_no_two_settings_have_the_same_variable() -> None:
    """`a.b_c` and `a_b.c` would both be MLX_SERVE_A_B_C; nor is a short name the long name of another setting."""
    names = [variable(key) for key in BY_KEY]
    assert len(set(names)) == len(names)
    assert set(SHORT_NAMES).isdisjoint(names)
