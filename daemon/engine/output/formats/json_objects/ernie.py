"""ERNIE 4.5 Thinking: Hermes's calls, and the answer between `<response>` and `</response>`."""

from __future__ import annotations

from dataclasses import replace

from .hermes import HERMES, OPENER

ERNIE = replace(
    HERMES,
    name="ernie",
    found=lambda template, added: OPENER in template and "<response>" in template and "<tool_output>" in template,
    layout=(("<response>", "</response>"),),
)
