"""Makes text from services, drills and people harmless, for each medium that it is shown in.

No text may bring a terminal escape, a second line where one is meant, a character that turns text around, Markdown, or
HTML. What is shown comes through here; JSON files and JUnit files escape by themselves, and get no control characters.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sevdrill.masking import MASKER, masked

__all__ = ["block", "clean", "json_line", "line", "markdown"]

_MARKDOWN = re.compile(r"[\\`*_\[\]|#~$!@^{}=]")
_ODD = re.compile(r"[^\x20-\x7e]")
_STARTS = re.compile(r"^(?:([-+])|(\d+)([.)]))")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def line(text: str) -> str:
    """One line for a terminal: no control, format or line-breaking characters, no secrets."""
    text = masked(text)
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def block(text: str) -> str:
    """Lines for a terminal or a file: like `line`, but line feeds stay."""
    return "\n".join(line(each) for each in masked(text).split("\n"))


def markdown(text: str) -> str:
    """One line of Markdown that shows the text as it is, wherever inline text may stand (table cells included)."""
    plain = " ".join(line(text).split())
    plain = "".join(_ENTITIES.get(char, char) for char in plain)
    plain = _MARKDOWN.sub(r"\\\g<0>", plain)
    # Bare addresses become links on many pages that show Markdown.
    plain = plain.replace("://", "\\://")
    plain = re.sub(r"(?i)\bwww\.", lambda found: f"{found[0][:-1]}\\.", plain)
    return _STARTS.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}", plain)


def clean(data: Any) -> Any:
    """JSON whose texts are masked and hold no control characters but line feeds."""
    if isinstance(data, str):
        return block(data)
    if isinstance(data, list | tuple):
        return [clean(each) for each in data]
    if isinstance(data, dict):
        return {line(str(key)): clean(value) for key, value in MASKER.data(data).items()}
    return data


def json_line(data: Any) -> str:
    """JSON on one line without raw control or format characters, so that its file can be looked at in a terminal."""
    # A name of a file that is no UTF-8 has half characters, which JSON cannot keep.
    text = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace").decode()
    return _ODD.sub(lambda odd: odd[0] if odd[0].isprintable() else json.dumps(odd[0])[1:-1], text)
