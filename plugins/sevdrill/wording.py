"""What is wrong in a file, in words for people, each with its place: for drills and policies alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sevdrill.shape import Schema, Shape, sentence, suggest
from sevdrill.source import Problem, Source, Span, quote

__all__ = ["MOST_SHOWN", "did_you_mean", "explain", "report"]

MOST_SHOWN = 50
"""How many mistakes of one file are shown; a file with more of them is something else."""

_WIDTH = 120

_WANTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "keys and values",
    "model": "keys and values",
    "model_attributes": "keys and values",
    "dataclass": "keys and values",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


def did_you_mean(what: str, word: str, known: list[str], taken: Collection[str] = ()) -> tuple[str, str]:
    """The message about an unknown word and the word that was probably meant, which may be empty."""
    meant = suggest(word, known, taken)
    if meant:
        return f'unknown {what} {quote(word)}, did you mean "{meant}"?', meant
    rest = ", ".join(each for each in known if each not in taken)
    return f"unknown {what} {quote(word)}{f'; possible: {rest}' if rest else ''}", ""


def explain(error: Mapping[str, Any], value: Any, written: str, shape: Shape, node: Schema, name: str) -> str:
    """One error of pydantic's.

    ``value`` is what was found (for a missing key, what it is missing in), ``written`` how it was written, ``node``
    what may stand there, and ``name`` the key that it stands under.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        key = str(error["loc"][-1])
        about = shape.about(node, key)
        return f'missing key "{key}"{f": {about}" if about else ""}'
    if kind == "extra_forbidden":
        return f"unknown key {quote(error['loc'][-1])}"
    if kind == "union_tag_not_found" and not isinstance(value, dict):
        return _wrong_type("model_type", value, written, shape, node)
    if kind == "union_tag_not_found":
        keys = " or ".join(quote(tag) for tag in shape.tags(node))
        return f"missing key {keys}, such as {shape.example(node)}"
    if kind == "literal_error":
        choices = shape.choices(node)
        if isinstance(value, str):
            return did_you_mean(name, value, choices)[0]
        return f"expected one of {', '.join(choices)}, not {_found(value, written)}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"expected {words} {context[bound]:g}, not {written or quote(value)}"
    if kind == "too_short":
        return f"expected at least {_items(context['min_length'])}, not {context['actual_length'] or 'none'}"
    if kind == "too_long":
        return f"expected at most {_items(context['max_length'])}, not {context['actual_length']}"
    if kind == "string_too_short" and not value:
        return "must not be empty"
    if kind == "string_pattern_mismatch":
        about = sentence(str(node.get("description", "")))
        return f"{quote(value)} does not fit; expected {about or 'the pattern ' + str(context['pattern'])}"
    if kind == "quantity":
        return f"{error['msg']}, not {_found(value, written)}"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error") or error["msg"])
    return _wrong_type(kind, value, written, shape, node) or _lower(error["msg"])


def report(shown: str, source: Source, problems: Iterable[Problem]) -> str:
    """Every mistake once, in the file's order, each with its line and a caret."""
    ordered = sorted(set(problems))
    lines = []
    for (line, column), text in ordered[:MOST_SHOWN]:
        if source.paths:
            lines.append(f"{shown}: {source.paths.get(Span(line, column), source.what)}: {text}")
            continue
        lines.append(f"{shown}:{line}:{column}: {text}")
        if line <= len(source.lines) and source.lines[line - 1].strip():
            lines += _excerpt(source.lines[line - 1], column)
    if len(ordered) > MOST_SHOWN:
        lines.append(f"{shown}: and {len(ordered) - MOST_SHOWN} more mistakes")
    return "\n".join(lines)


def _excerpt(line: str, column: int) -> list[str]:
    begin = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = "".join(c if c.isprintable() else " " for c in line[begin : begin + _WIDTH])
    before, after = "..." if begin else "", "..." if begin + _WIDTH < len(line) else ""
    caret = " " * (len(before) + sum(map(_columns, shown[: column - 1 - begin]))) + "^"
    return [f"    {before}{shown}{after}".rstrip(), f"    {caret}"]


def _columns(character: str) -> int:
    """How wide a terminal shows it."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _wrong_type(kind: str, value: Any, written: str, shape: Shape, node: Schema) -> str:
    base = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")
    wanted = _WANTED.get(base) if base != kind else None
    if wanted is None:
        return ""
    example = shape.example(node)
    if example and wanted == "keys and values":
        wanted = f"{{{example}, ...}}"
    text = f"expected {wanted}, not {_found(value, written)}"
    if wanted == "text" and written:
        return f'{text}; put it in quotes: "{written}"'
    if wanted == "a list":
        return f'{text}; put "- " before each item'
    return text


def _found(value: Any, written: str) -> str:
    """What was found instead."""
    match value:
        case bool():
            return written or str(value).lower()
        case int() | float():
            return f"the number {written or value}"
        case str():
            return f"the text {quote(value)}"
        case list():
            return "a list"
        case dict():
            return "keys and values"
    return "nothing"


def _items(count: int) -> str:
    return "one item" if count == 1 else f"{count} items"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
