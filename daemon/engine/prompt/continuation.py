"""A chat whose last message goes on: the template closes the turn, and everything after the message's end is cut.

What is accepted, and what trailing blanks become, follows Transformers (`continue_final_message`).
"""

from __future__ import annotations

from typing import Any

TAG = "CONTINUE_FINAL_MESSAGE_TAG "


def tagged(message: dict[str, Any], template: str) -> str:
    """Put a tag behind the message's text, in place, and give the text as it was. Raises ValueError."""
    content = message.get("content")
    if content is None:
        raise ValueError("the last message has no content to continue")
    if "content" not in template:
        raise ValueError("the chat template reads no content")
    if not isinstance(content, list):
        message["content"] = content + TAG
        return str(content)
    for part in reversed(content):
        if "text" in part:
            text = str(part["text"])
            part["text"] = text + TAG
            return text
    raise ValueError("the last message has no text to continue")


def closed_at_tag(rendered: str, text: str) -> str:
    """The rendered chat up to the tag. Raises ValueError where the template left out or changed the text."""
    place = rendered.rfind(TAG.strip())
    if place < 0 or text.strip() not in rendered:
        raise ValueError("the chat template does not show the last message as it is")
    # A template that trims the text has taken the tag's own blank; the blanks before the tag would have gone too.
    return rendered[:place] if rendered[place:].startswith(TAG) else rendered[:place].rstrip()
