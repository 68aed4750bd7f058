"""Text from anywhere, in every medium that shows it."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from made_up import DATABASE_DOWN, incident, recorded, scenario
from markdown_it import MarkdownIt

from sevdrill.escaping import block, clean, json_line, line, markdown
from sevdrill.lines import FaultLine, MessageLine, PageLine, Sample, StepLine
from sevdrill.rejudging import review
from sevdrill.reports.terminal import page, table

EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "http://evil.example www.evil.example evil@example.com",
    "<http://evil.example>",
    "# heading",
    "- item\n- item",
    "1. item",
    "> quote",
    "``` fence",
    "~~~ fence",
    "`code`",
    "**b** _i_ ~~s~~",
    "| a | b |",
    "a\n\n---\n\nb",
    "===",
    "&lt;b&gt; &#x202e;",
    "[^1] [x]: http://evil.example",
    "\\[x](http://evil.example)",
    "\\<b>",
    "<!-- x",
    "\x1b[31m\x1b]0;t\x07\x9b2J\u202e\u2066\r\n\x0b\x0c\x85\u2028\u2029\ud800\0",
    "$x$",
    "@someone #12",
]
TEXTS = st.sampled_from(EVIL) | st.text(max_size=60) | st.text(string.punctuation + " \nax1", max_size=40)
RENDERER = MarkdownIt("gfm-like", {"html": True})


def test_line_is_one_printable_line() -> None:
    for text in EVIL:
        assert line(text).isprintable()
        assert all(each.isprintable() for each in block(text).split("\n"))
        assert json_line({"a": text}).isprintable()
        assert "\x1b" not in json.dumps(clean({text: [text]}))


@given(TEXTS)
def test_whatever_it_is_line_and_block_are_printable(text: str) -> None:
    assert line(text).isprintable()
    assert block(text).replace("\n", "").isprintable()
    assert json_line([text]).isprintable()
    assert json.loads(json_line([text])) is not None


@given(TEXTS)
@settings(deadline=None, max_examples=300)
@example("http://evil.example")
@example("https://a.b/c?d=e")
@example("WWW.evil.example")
@example("a@b.example")
@example("1) x")
@example("+ x")
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    shown = markdown(text)
    assert "\n" not in shown
    for around, tags in (
        ("{}", {"p"}),
        ("- {}", {"p", "ul", "li"}),
        ("a {} b", {"p"}),
        ("| a | b |\n| --- | --- |\n| {} | c |", {"table", "thead", "tbody", "tr", "th", "td"}),
        ("# {}", {"h1"}),
    ):
        html = RENDERER.render(around.format(shown))
        found = set(re.findall(r"</?([a-zA-Z][a-zA-Z0-9]*)", html))
        assert found <= tags, (around, html)
        assert "<!--" not in html
        if around.startswith("|"):
            assert html.count("<td>") == 2, html
    entities = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    plain = "".join(entities.get(char, char) for char in line(text))
    assert RENDERER.render(f"a {shown} b").split() == f"<p>a {plain} b</p>".split()


@given(st.lists(TEXTS, min_size=1, max_size=4))
@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_a_service_says_gets_into_a_report(tmp_path: Path, texts: list[str]) -> None:
    text = "\n".join(texts).encode("utf-8", "replace").decode()
    # "missed" and "lost" make it a drill with reasons; what the services say stands in all of them.
    drill = scenario(DATABASE_DOWN, about=text, runbook=text)
    lines: list[Any] = []
    for each in incident(drill, mitigated=None, recovered=None, healthy_before=True):
        match each:
            case Sample() | StepLine():
                each = each.model_copy(update={"why": text})
            case MessageLine():
                each = each.model_copy(update={"text": text, "to": text, "status": text})
            case FaultLine():
                each = each.model_copy(update={"title": text, "why": text})
            case PageLine():
                each = each.model_copy(update={"alerts": [{"name": text, "labels": {text: text}}]})
        lines.append(each)
    folder = recorded(tmp_path, lines)
    result = review(folder)
    assert result.summary["outcome"] == "failed"
    for shown in (*page(result.summary), *table([result.summary])):
        assert shown.isprintable()
    report = (folder / "postmortem.md").read_text(encoding="utf-8")
    assert report.replace("\n", "").isprintable()
    html = RENDERER.render(report)
    tags = {
        "h1",
        "h2",
        "h3",
        "code",
        "p",
        "strong",
        "em",
        "ul",
        "ol",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "br",
        "hr",
        "input",
    }
    assert set(re.findall(r"</?([a-zA-Z][a-zA-Z0-9]*)", html)) <= tags, html
    assert "href" not in html
    headings = re.findall(r"^#+ .*$", report, re.MULTILINE)
    assert headings == re.findall(r"^#+ .*$", (recorded_plain(tmp_path) / "postmortem.md").read_text(), re.MULTILINE)
    summary = (folder / "summary.json").read_text(encoding="utf-8")
    assert summary.replace("\n", "").isprintable()


def recorded_plain(folder: Path) -> Path:
    plain = recorded(folder / "plain", incident(scenario(DATABASE_DOWN), mitigated=None, recovered=None))
    review(plain)
    return plain


@pytest.mark.parametrize("text", EVIL)
def test_junit_files_stay_xml(text: str) -> None:
    # pytest escapes markup by itself; what XML cannot hold at all must not reach it raw.
    from xml.etree import ElementTree as ET

    assert ET.fromstring(f"<a>{block(text).replace('&', '&amp;').replace('<', '&lt;')}</a>") is not None
