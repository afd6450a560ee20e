"""A template, given the messages and, where it cannot take them, the same ones in other forms."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import jinja2

from ..environment import TooLong
from .variants import Messages, hides_system, shows_python, variants, with_one_system, with_text_arguments

Render = Callable[[Messages, dict[str, Any]], str]
_MAY_BE_ABSENT = ("tools", "documents")


def first_rendered(render: Render, messages: Messages, variables: dict[str, Any]) -> str:
    """What the template makes of the first form that it takes. `render` may change what it is given. Raises TooLong,
    MemoryError, and what the template raised on the messages as they are."""
    try:
        return _with_all_systems(render, messages, variables)
    except (TooLong, MemoryError):
        raise
    except Exception as error:
        # Some ask only whether there is such a thing, and then go through it.
        present = {key: value for key, value in variables.items() if key not in _MAY_BE_ABSENT or value is not None}
        for form in (messages, *variants(messages)):
            try:
                return _with_all_systems(render, form, present)
            except (TooLong, MemoryError):
                raise
            except Exception:
                continue
        raise error


def _with_all_systems(render: Render, messages: Messages, variables: dict[str, Any]) -> str:
    """Some templates show one system message, the first or the last, and silently leave out the others: these get all
    as one."""
    text = _with_readable_arguments(render, messages, variables)
    if hides_system(messages, text):
        joined = with_one_system(copy.deepcopy(messages))
        with contextlib.suppress(jinja2.TemplateError):
            shown = _with_readable_arguments(render, joined, variables)
            return text if hides_system(messages, shown) else shown
    return text


def _with_readable_arguments(render: Render, messages: Messages, variables: dict[str, Any]) -> str:
    text = render(copy.deepcopy(messages), variables)
    if not shows_python(messages, text):
        return text
    return render(with_text_arguments(copy.deepcopy(messages)), variables)
