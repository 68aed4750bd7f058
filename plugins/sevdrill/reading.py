"""YAML text, of drills and policies, as plain data that remembers its places.

The text is read from PyYAML's parser events, with bounds on depth and number before anything is built: the composer of
libyaml recurses on the C stack, which a file of a million brackets overflows. Only ``true``, ``false``, ``null``, whole
and decimal numbers are more than text: ``on``, ``no``, ``12:30`` and ``012`` stay strings. What YAML allows but these
files must not contain (duplicate keys, merge keys, tags, keys that are not text, alias bombs) is a problem with a
place, and reading goes on where it can.

Most files have nothing wrong in them, so `skim` gives their data several times as fast, without places, and leaves
every file to `read` that holds anything worth a second look.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from sevdrill.opening import open_file
from sevdrill.source import MOST_NESTED, MOST_VALUES, Place, Problem, Source, Span, quote

__all__ = ["MOST_BYTES", "is_drill", "read", "skim"]

MOST_BYTES = 1 << 20
"""The largest file that is read, in bytes."""

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{0,17})?(?:[eE][-+]?[0-9]{1,3})?")
_BEGINS_NUMBER = frozenset("+-0123456789")
_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_SAYS_DRILL = re.compile(rb"""^(?:\xef\xbb\xbf)?(?:drill|"drill"|'drill')[ \t]*:(?:[ \t\r]|$)""", re.MULTILINE)


def read(raw: bytes, what: str = "drill") -> Source:
    """Read the bytes of a file that should hold a ``what``. Never raises: what is wrong is in `Source.problems`."""
    if len(raw) > MOST_BYTES:
        return _unread((), Span(1, 1), f"the file is larger than 1 MiB; that is no {what}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig")
        lines = tuple(_BREAK.split(raw.decode("utf-8-sig", "replace")))
        byte = raw[error.start]
        return _unread(lines, _span_of(before), f"the file is not UTF-8 (byte 0x{byte:02x}); save it as UTF-8")
    lines = tuple(_BREAK.split(text))
    wrong = _NOT_YAML.search(text)
    if wrong:
        return _unread(
            lines, _span_of(text[: wrong.start()]), f"the character U+{ord(wrong[0]):04X} is not allowed in YAML"
        )
    try:
        return _build(text, Source(lines, what))
    except _NotRead as stop:
        return _unread(lines, stop.span, stop.text)
    except yaml.MarkedYAMLError as error:
        return _unread(lines, *_explain(error, lines))
    except (yaml.YAMLError, ValueError) as error:
        return _unread(lines, Span(1, 1), f"this is not YAML: {str(error).splitlines()[0]}")


def skim(raw: bytes) -> dict[str, Any] | None:
    """The keys and values of a file, the same as `read` gives, but quickly and without places.

    None when there is anything that `read` might have to tell, or that it reads in a way of its own: what is no YAML,
    is too large or too deep, has keys that are no text or are there twice, values left empty, anchors, aliases, tags.
    """
    if len(raw) > MOST_BYTES:
        return None
    try:
        text = raw.decode("utf-8-sig")
        return None if _NOT_YAML.search(text) else _skim(text)
    except (yaml.YAMLError, ValueError):
        return None


def is_drill(path: Path) -> bool:
    """Whether a YAML file has the key `drill` at its top level, so that it is to be collected.

    Cheap, and never raises. A file that is no YAML counts when a line of it begins with ``drill:``, so that its
    mistakes are reported; one that cannot be read does not count.
    """
    try:
        with open_file(path) as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError):
        return False
    if b"drill" not in raw:
        return False
    if len(raw) <= MOST_BYTES:
        try:
            return _has_drill(raw.decode("utf-8-sig"))
        except (yaml.YAMLError, ValueError, _NotRead):
            pass
    return _SAYS_DRILL.search(raw) is not None


class _NotRead(Exception):
    """Reading cannot go on."""

    def __init__(self, span: Span, text: str) -> None:
        super().__init__(text)
        self.span, self.text = span, text


@dataclass
class _Node:
    """A scalar, list or mapping as it is written; an alias is the very node that it stands for."""

    kind: Literal["scalar", "list", "mapping"]
    text: str = ""
    plain: bool = False
    items: list[_Item] = field(default_factory=list)
    """The children; keys and values of a mapping take turns."""
    closed: bool = False


class _Item(NamedTuple):
    """A node where it is used: an alias is written elsewhere than what it stands for."""

    node: _Node
    span: Span
    alias: bool


def _unread(lines: tuple[str, ...], span: Span, text: str) -> Source:
    return Source(lines, problems=[Problem(span, text)])


def _span_of(before: str) -> Span:
    lines = _BREAK.split(before)
    return Span(len(lines), len(lines[-1]) + 1)


def _span(mark: Any) -> Span:
    return Span(mark.line + 1, mark.column + 1)


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _skim(text: str) -> dict[str, Any] | None:
    root: dict[str, Any] | None = None
    around: list[tuple[Any, str | None]] = []
    inside: Any = None
    key: str | None = None
    count = 0
    for event in _events(text):
        kind = type(event)
        if kind is yaml.ScalarEvent:
            value: Any = _plain(event.value) if event.implicit[0] else event.value
        elif kind is yaml.MappingStartEvent:
            value = {}
        elif kind is yaml.SequenceStartEvent:
            value = []
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            inside, key = around.pop()
            continue
        elif kind is yaml.AliasEvent or (kind is yaml.DocumentStartEvent and root is not None):
            return None
        else:
            continue
        count += 1
        if event.anchor is not None or event.tag is not None or count > MOST_VALUES:
            return None
        if value is None:
            return None
        if inside is None:
            if type(value) is not dict:
                return None
            root = value
        elif type(inside) is list:
            inside.append(value)
        elif key is None:
            if type(value) is not str or value == "<<" or value in inside:
                return None
            key = value
            continue
        else:
            inside[key], key = value, None
        if kind is not yaml.ScalarEvent:
            around.append((inside, None))
            inside, key = value, None
            if len(around) >= MOST_NESTED:
                return None
    return root


def _has_drill(text: str) -> bool:
    stack: list[type] = []
    turn = 0
    for event in _events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            if stack == [yaml.MappingStartEvent]:
                if turn % 2 == 0 and isinstance(event, yaml.ScalarEvent) and event.value == "drill":
                    return True
                turn += 1
            if isinstance(event, yaml.CollectionStartEvent):
                turn = turn if stack else 0
                stack.append(type(event))
                if len(stack) > MOST_NESTED:
                    raise _NotRead(_span(event.start_mark), "")
    return False


def _build(text: str, source: Source) -> Source:
    root = _compose(text, source)
    if root is None or (root.node.plain and root.node.text == ""):
        what = source.what
        raise _NotRead(Span(1, 1), f"the file is empty; a {what} begins with `{what}: its name`")
    # The bound is on what aliases stand for, so it also stops what would expand without end.
    source.data = _Expansion(source).value(root, ())
    source.complete = True
    return source


def _compose(text: str, source: Source) -> _Item | None:
    root: _Item | None = None
    stack: list[_Node] = []
    anchors: dict[str | None, _Node] = {}
    count = 0
    for event in _events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop().closed = True
            continue
        if not isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                second = f"a second document; a {source.what} file holds one"
                source.problems.append(Problem(_span(event.start_mark), second))
                break
            continue
        span = _span(event.start_mark)
        node = _node(event, anchors, span)
        alias = isinstance(event, yaml.AliasEvent)
        if getattr(event, "tag", None) is not None:
            source.problems.append(Problem(span, "a tag (what begins with !) is not read here; take it out"))
        item = _Item(node, span, alias)
        if stack:
            stack[-1].items.append(item)
        else:
            root = item
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(node)
        count += 1
        if len(stack) > MOST_NESTED:
            raise _NotRead(span, f"nested deeper than {MOST_NESTED} levels")
        if count > MOST_VALUES * 2:
            raise _NotRead(span, f"more than {MOST_VALUES} values in one file; that is no {source.what}")
    return root


def _node(event: Any, anchors: dict[str | None, _Node], span: Span) -> _Node:
    if isinstance(event, yaml.AliasEvent):
        known, name = anchors.get(event.anchor), quote(f"*{event.anchor}")
        if known is None:
            raise _NotRead(span, f"the alias {name} has no anchor above it")
        if not known.closed:
            raise _NotRead(span, f"the alias {name} stands for something that it is a part of")
        return known
    if isinstance(event, yaml.ScalarEvent):
        # A tag makes libyaml say "not plain", which keeps the text a string; the tag is a problem of its own.
        node = _Node("scalar", event.value, plain=bool(event.implicit[0]), closed=True)
    else:
        node = _Node("mapping" if isinstance(event, yaml.MappingStartEvent) else "list")
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


class _Expansion:
    """Turns nodes into data and places, every alias anew."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._count = 0
        self._alias: _Item | None = None

    def value(self, item: _Item, place: Place) -> Any:
        if item.alias and self._alias is None:
            self._alias = item
            data = self._value(item, place)
            self._alias = None
            return data
        return self._value(item, place)

    def _value(self, item: _Item, place: Place) -> Any:
        self._count += 1
        blamed = (self._alias or item).span
        if self._count > MOST_VALUES:
            what = self._source.what
            raise _NotRead(blamed, f"more than {MOST_VALUES} values once aliases are expanded; that is no {what}")
        if len(place) > MOST_NESTED:
            raise _NotRead(blamed, f"nested deeper than {MOST_NESTED} levels")
        self._source.values[place] = item.span
        if item.node.kind == "scalar":
            data = _scalar(item.node)
            if not isinstance(data, str):
                self._source.written[place] = item.node.text
            return data
        if item.node.kind == "list":
            return [self.value(child, (*place, index)) for index, child in enumerate(item.node.items)]
        return self._mapping(item.node, place)

    def _mapping(self, node: _Node, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, child in zip(node.items[::2], node.items[1::2], strict=True):
            text = key.node.text
            if key.node.kind != "scalar" or key.alias:
                problem = "a key must be text, written out"
            elif key.node.plain and text == "<<":
                problem = "merge keys (<<) are not read here; write the keys out"
            elif not isinstance(_scalar(key.node), str):
                problem = f"the key {text} is not text; put it in quotes: {quote(text)}" if text else "a key is missing"
            elif text in result:
                problem = f"the key {quote(text)} is here twice, first in line {self._source.keys[*place, text].line}"
            else:
                self._source.keys[*place, text] = key.span
                result[text] = self.value(child, (*place, text))
                continue
            self._source.problems.append(Problem(key.span, problem))
        return result


def _scalar(node: _Node) -> Any:
    return _plain(node.text) if node.plain else node.text


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _BEGINS_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _explain(error: yaml.MarkedYAMLError, lines: tuple[str, ...]) -> tuple[Span, str]:
    """Where a syntax error is, and what to do about it, in words for people who do not know YAML's grammar."""
    problem = str(error.problem or error.context or "unreadable")
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Span(1, 1), f"this is not YAML: {problem}"
    span = _span(mark)
    opened = _span(error.context_mark) if error.context_mark else span
    line = lines[mark.line] if mark.line < len(lines) else ""
    here = line[mark.column : mark.column + 1]
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent or here == "\t":
        tab = indent.index("\t") if "\t" in indent else mark.column
        return Span(span.line, tab + 1), "a tab; YAML is indented with spaces"
    if problem == "found character that cannot start any token":
        return span, f"text cannot begin with {quote(here)}; put it in quotes"
    if problem == "mapping values are not allowed in this context":
        return span, 'a ": " where none can be; put text that contains ": " in quotes, or check the indentation'
    if problem == "did not find expected node content":
        return span, "something is missing before this, or this must be in quotes"
    if problem == "could not find expected ':'":
        return opened, 'expected "key: value"'
    if problem.startswith("did not find expected ',' or "):
        return opened, f'the "{"[" if "]" in problem else "{"}" is not closed, or a comma is missing'
    if "quoted scalar" in str(error.context) and "end of stream" in problem:
        return opened, "the quote is not closed"
    if problem in ("did not find expected key", "did not find expected '-' indicator"):
        return span, f"this does not fit what began in line {opened.line}; check indentation and quotes"
    return span, f"this is not YAML: {problem}"
