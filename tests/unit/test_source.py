"""YAML as data with places: what is read as what, and what is refused where."""

import json
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sevdrill import reading as module
from sevdrill.reading import MOST_BYTES, is_drill, skim
from sevdrill.source import MOST_NESTED, MOST_VALUES, Source, Span, quote


def read(raw: bytes) -> Source:
    """What `read` gives; whatever is read in these tests is skimmed too, and nothing may differ."""
    found, quick = module.read(raw), skim(raw)
    if quick is not None:
        assert found.complete
        assert found.problems == []
        # Texts, so that 1, 1.0 and true are not the same.
        assert repr(quick) == repr(found.data)
    return found


def data(text: str) -> object:
    found = read(text.encode())
    assert found.problems == []
    assert found.complete
    return found.data


def problems(text: str | bytes) -> list[tuple[int, int, str]]:
    found = read(text.encode() if isinstance(text, str) else text)
    return [(problem.span.line, problem.span.column, problem.text) for problem in found.problems]


TEXT = """
on off yes no y n On NO 12:30 1:2:3 012 0o14 0x1F 1_000 .5 .inf -.inf .nan 2026-11-21 1.2.3 5m 10% = tRue 1e999 -1e999
1234567890123456789 <<
"""


@pytest.mark.parametrize("text", TEXT.split())
def test_stays_text(text: str) -> None:
    assert data(f"a: {text}") == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("1.5", 1.5),
        ("1.10", 1.1),
        ("2e3", 2000.0),
        ('"true"', "true"),
        ("'12'", "12"),
        ("|\n  on\n", "on\n"),
    ],
)
def test_is_resolved(text: str, value: object) -> None:
    found = data(f"a: {text}")
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


def test_keeps_how_a_value_that_is_no_text_was_written() -> None:
    assert read(b"a: 1.10\nb: [text, True]\n").written == {("a",): "1.10", ("b", 1): "True"}


def test_knows_the_place_of_every_key_and_value() -> None:
    found = read("\ufeff# é\nauß: {b: [1, 'zwei']}\nc:\n  - d:   e\n".encode())
    assert found.data == {"auß": {"b": [1, "zwei"]}, "c": [{"d": "e"}]}
    assert found.keys == {("auß",): (2, 1), ("auß", "b"): (2, 7), ("c",): (3, 1), ("c", 0, "d"): (4, 5)}
    assert found.values == {
        (): (2, 1),
        ("auß",): (2, 6),
        ("auß", "b"): (2, 10),
        ("auß", "b", 0): (2, 11),
        ("auß", "b", 1): (2, 14),
        ("c",): (4, 3),
        ("c", 0): (4, 5),
        ("c", 0, "d"): (4, 10),
    }


def test_points_at_scalars_and_at_the_keys_of_what_is_larger() -> None:
    found = read(b"a:\n  b: c\n  d: [e]\n")
    assert found.span(("a",)) == Span(1, 1)
    assert found.span(("a", "b")) == Span(2, 6)
    assert found.span(("a", "d")) == Span(3, 3)
    assert found.span(("a", "d", 0)) == Span(3, 7)
    assert found.span(("a", "x", "y")) == Span(1, 1)


def test_small_aliases_are_read_each_as_a_copy_of_its_own() -> None:
    found = read(b"a: &x {k: [1]}\nb: *x\n")
    assert found.data == {"a": {"k": [1]}, "b": {"k": [1]}}
    assert found.data["a"]["k"] is not found.data["b"]["k"]
    assert found.values["b",] == (2, 4)
    assert found.keys["b", "k"] == (1, 8)


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, 1, "the file is empty; a drill begins with `drill: its name`")),
        ("# nothing\n", (1, 1, "the file is empty; a drill begins with `drill: its name`")),
        ("---\n", (1, 1, "the file is empty; a drill begins with `drill: its name`")),
        ("a: 1\nb: 2\na: 3\n", (3, 1, 'the key "a" is here twice, first in line 1')),
        ("x: {a: 1, a: 2}\n", (1, 11, 'the key "a" is here twice, first in line 1')),
        ("a: &b {c: 1}\nd:\n  <<: *b\n", (3, 3, "merge keys (<<) are not read here; write the keys out")),
        ("a: 1\n12: b\n", (2, 1, 'the key 12 is not text; put it in quotes: "12"')),
        ("true: b\n", (1, 1, 'the key true is not text; put it in quotes: "true"')),
        ("a: 1\n? \n: b\n", (2, 2, "a key is missing")),
        ("{a: 1, : b}", (1, 8, "something is missing before this, or this must be in quotes")),
        ("? [a]\n: b\n", (1, 3, "a key must be text, written out")),
        ("a: &k b\n*k : c\n", (2, 1, "a key must be text, written out")),
        ("a:\n\tb: 1\n", (2, 1, "a tab; YAML is indented with spaces")),
        ("a:\n  - b\n  \t- c: d\n", (3, 3, "a tab; YAML is indented with spaces")),
        ("a: 1\n---\nb: 2\n", (2, 1, "a second document; a drill file holds one")),
        ("a: !!python/object:os.system {}\n", (1, 4, "a tag (what begins with !) is not read here; take it out")),
        ("a: !!str 5\n", (1, 4, "a tag (what begins with !) is not read here; take it out")),
        ("a: *b\n", (1, 4, 'the alias "*b" has no anchor above it')),
        ("a: &b [*b]\n", (1, 8, 'the alias "*b" stands for something that it is a part of')),
        (BOMB, (6, 10, "more than 20000 values once aliases are expanded; that is no drill")),
        ("[" * 60, (1, 51, "nested deeper than 50 levels")),
        ("- " * 500_000, (1, 101, "nested deeper than 50 levels")),
        ("{a: " * 200_000, (1, 201, "nested deeper than 50 levels")),
        ("- a\n" * 250_000, (40_000, 3, "more than 20000 values in one file; that is no drill")),
        (b"a: b\nc: \xff\n", (2, 4, "the file is not UTF-8 (byte 0xff); save it as UTF-8")),
        ("a: é\n".encode("utf-16"), (1, 1, "the file is not UTF-8 (byte 0xff); save it as UTF-8")),
        ("a: b\nc: \x1b[31m\n", (2, 4, "the character U+001B is not allowed in YAML")),
        ("a: b\0\n", (1, 5, "the character U+0000 is not allowed in YAML")),
        (b"a" * (MOST_BYTES + 1), (1, 1, "the file is larger than 1 MiB; that is no drill")),
        (
            "a: b: c\n",
            (1, 5, 'a ": " where none can be; put text that contains ": " in quotes, or check the indentation'),
        ),
        ("a: @b\n", (1, 4, 'text cannot begin with "@"; put it in quotes')),
        ("a: 1\nbogus\nc: 2\n", (2, 1, 'expected "key: value"')),
        ("a: [1, 2\nb: 3\n", (1, 4, 'the "[" is not closed, or a comma is missing')),
        ("a: {b: 1\nc: 3\n", (1, 4, 'the "{" is not closed, or a comma is missing')),
        ("a: 'b\nc: d\n", (1, 4, "the quote is not closed")),
        ("a: 1\n- b\n", (2, 1, "this does not fit what began in line 1; check indentation and quotes")),
        ('a: "\\q"\n', (1, 5, "this is not YAML: found unknown escape character")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_refuses_with_a_place(text: str | bytes, expected: tuple[int, int, str]) -> None:
    assert problems(text) == [expected]


def test_tells_every_problem_and_keeps_the_rest() -> None:
    found = read(b"a: 1\na: 2\n3: 4\nb: !x c\n<<: {d: 1}\n")
    assert [problem.span for problem in found.problems] == [(4, 4), (2, 1), (3, 1), (5, 1)]
    assert found.complete
    assert found.data == {"a": 1, "b": "c"}


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1",
        "a: &x [1]\nb: *x",
        "a: !!str 1",
        "a: ! 1",
        "? [a]\n: 1",
        "? {a: 1}\n: 1",
        "a: {<<: {b: 1}}",
        "a: 1\na: 2",
        "a: {b: 1, b: 1}",
        "1: a",
        "null: a",
        ": a",
        "a:",
        "a: [1, ~]",
        "- a",
        "a",
        "",
        "---",
        "a: 1\n---\nb: 2",
        "a: 1\n---\n",
        "a: [",
        "a: \x00",
        "a: " + "[" * MOST_NESTED + "1" + "]" * MOST_NESTED,
        "a: [" + "1, " * MOST_VALUES + "1]",
        "a: " + "x" * MOST_BYTES,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_worth_a_second_look_is_not_skimmed(text: str) -> None:
    assert skim(text.encode()) is None


@pytest.mark.parametrize(
    "text", ["a: 1", "\ufeffa: [x, {b: 'on', c: [], d: {}}]\ne: |\n  1\n", "--- \n{a: -1.5e3}\n..."]
)
def test_what_is_plain_is_skimmed(text: str) -> None:
    assert repr(skim(text.encode())) == repr(data(text))


def test_reads_without_libyaml_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOADER", yaml.SafeLoader)
    assert data("a: {b: [on, 12:30, 5]}") == {"a": {"b": ["on", "12:30", 5]}}
    assert problems("a:\n\tb: 1\n") == [(2, 1, "a tab; YAML is indented with spaces")]


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ("a", '"a"'),
        ("\x1b[2J\n", r'"\x1b[2J\n"'),
        ("\u202e", r'"\u202e"'),
        ("é", '"é"'),
        ("x" * 61, f'"{"x" * 57}..."'),
        (5, '"5"'),
    ],
)
def test_quotes_what_can_be_printed(found: object, shown: str) -> None:
    assert quote(found) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drill: x\n", True),
        ("\ufeffdrill: x\n", True),
        ("# a\n---\nseverity: SEV-1\ndrill:\n", True),
        ("{severity: SEV-1, 'drill': x}\n", True),
        ("a: 1\n---\ndrill: x\n", True),
        ("? drill\n: x\n", True),
        ("a: drill\n", False),
        ("a: {drill: x}\n", False),
        ("- drill: x\n", False),
        ("- [a]\n- {drill: x}\n", False),
        ("a: |\n  drill: x\n", False),
        ("drill\n", False),
        ("drills: x\n", False),
        ("services: {app: {image: x}}\n", False),
        ("", False),
        ("drill: x\n\tb: 1\n", True),
        ("a: [\ndrill: x\n", True),
        ("a: [\n'drill' : x\n", True),
        ("a: [ drill\n", False),
        ("a: [\ndrill:x\n", False),
        ("[" * 100 + "\ndrill:\n", True),
        ("[" * 1_000_000 + "drill", False),
        ("drill: x\n" + "a" * 10_000_000, True),
        ("a: x\n" + "drill " * 1_000_000, False),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_is_drill(tmp_path: Path, text: str, expected: bool) -> None:
    path = tmp_path / "x.yml"
    path.write_text(text)
    assert is_drill(path) is expected


def test_is_drill_of_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(b"drill: \xff\n")
    assert is_drill(path)
    path.write_bytes(b"a: \xff drill\n")
    assert not is_drill(path)
    assert not is_drill(tmp_path / "none.yml")
    assert not is_drill(tmp_path)


SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(string.printable + "é\u202e☃")
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab<*&: -"), inner, max_size=4),
    max_leaves=20,
)


@given(TREES)
def test_reads_json_as_json_does(tree: object) -> None:
    # Inside of a document, since a file that says nothing but null is empty.
    assert data(json.dumps({"a": tree}, ensure_ascii=False)) == {"a": tree}


@settings(max_examples=300)
@given(st.text(st.sampled_from("a: -[]{}&*!|>'\"%@`#?,<\n\t 1\x85é\0"), max_size=60) | st.binary(max_size=60).map(repr))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = read(text.encode())
    assert found.complete or found.problems
    assert found.complete or found.data is None
    for span, message in found.problems:
        assert span.line >= 1
        assert span.column >= 1
        assert message.isprintable()


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    found = read(raw)
    assert found.complete or found.problems
