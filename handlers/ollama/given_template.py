"""Chat templates that clients send: in Jinja, as models bring them, not in Go's template language."""

from __future__ import annotations

import re

from ..failure import RequestError

MAX_TEMPLATE = 1 << 20
_GO = re.compile(r"\{\{-?\s*(?:\.|range\b|if\s+[.(]|if\s+(?:and|or|eq|not)\s|end\b|template\b|define\b|\$)")


def check_template(text: str) -> None:
    """Raises RequestError for a text that is not a usable chat template."""
    import jinja2  # slow to import and rarely needed
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if _GO.search(text):
        raise _bad_template("templates must be in Jinja, as in chat_template.jinja, not in Go's template language")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    try:
        # Transformers has one more tag, which only marks a part.
        environment.parse(re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", text))
    except jinja2.TemplateSyntaxError as error:
        raise _bad_template(f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise _bad_template("it is nested too deeply") from None
    if not re.search(r"\bmessages\b", text):
        raise _bad_template("it does not use messages, so the conversation would not reach the model")


def _bad_template(why: str) -> RequestError:
    return RequestError(f"template error: {why}", param="template", code="invalid_value")
