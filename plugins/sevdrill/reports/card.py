"""What an SOP says about a severity or a symptom, on one screen: for three in the morning.

A card is at most `HEIGHT` lines of `WIDTH` characters. What does not fit is counted, and the card of its own is named.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sevdrill.errors import UsageError
from sevdrill.severity import Policy, TargetKey
from sevdrill.sop import Checklist, Step
from sevdrill.wording import did_you_mean

__all__ = ["HEIGHT", "WIDTH", "card", "topics"]

WIDTH, HEIGHT = 79, 23
"""A terminal of 80x24, with a line left for the prompt."""
LABEL = 7
_SEVERITY = re.compile(r"(?:sev)?[\s_-]*([1-4])", re.IGNORECASE)


@dataclass(frozen=True)
class _Block:
    """Lines under one label, such as CALL."""

    label: str
    items: tuple[str, ...]
    more: str = ""
    """The topic that has all of it, where some is left out."""
    can_go: bool = False
    """Whether all of it may be left out for want of room."""


@dataclass(frozen=True)
class _Topic:
    """Something that a card can be asked for."""

    title: str
    blocks: tuple[_Block, ...]
    also: tuple[str, ...] = ()
    """Other words for it."""
    whole: bool = field(default=True)
    """Whether whom to call and what to check belong on its card."""


def topics(policy: Policy) -> list[str]:
    """What a card can be asked for, severities first."""
    return [*policy.severities, *(topic.title for topic in _topics(policy))]


def card(policy: Policy, words: str) -> list[str]:
    """The card for a severity (`SEV-1`), or for what some words mean (`429`).

    Raises:
        UsageError: the SOP says nothing about it; the message lists what it knows.
    """
    match = _SEVERITY.fullmatch(words.strip())
    if match and (severity := f"SEV-{match[1]}") in policy.severities:
        return _fit(*_severity(policy, severity))
    found = _find(list(_topics(policy)), words)
    if not found:
        known = topics(policy)
        text = did_you_mean("topic", words, known)[0].partition("; possible: ")[0]
        listed = textwrap.fill(", ".join(known), 100, initial_indent="  ", subsequent_indent="  ")
        raise UsageError(f"{policy.cite} has no card for this: {text}\nit knows:\n{listed}")
    blocks = [block for topic in found for block in topic.blocks]
    if any(topic.whole for topic in found):
        blocks += [_people(policy), *_lists(policy.checklists)]
    title = found[0].title if len(found) == 1 else f'"{words}": {"; ".join(topic.title for topic in found)}'
    return _fit(f"{policy.cite} · {title}", blocks)


# -- what there is ----------------------------------------------------------------------------------------------------


def _severity(policy: Policy, severity: str) -> tuple[str, list[_Block]]:
    level = policy.level(severity)
    keys: tuple[TargetKey, ...] = ("assess", "announce", "mitigate", "recover")
    due = [f"{key} in {own.time}" for key in keys if (own := level.own(key)) is not None and own.time is not None]
    due += [f"review: {level.review.sop.removeprefix('REVIEW: ')}"] if level.review is not None else []
    flow = policy.flow.phases if policy.flow is not None else ()
    acts = level.actions or tuple(f"{phase.name}: {', '.join(phase.do)}" for phase in flow)
    blocks = [_Block("IS", (", ".join(dict.fromkeys(meaning.sop for meaning in level.means)),))] if level.means else []
    blocks += [_Block("DUE", ("; ".join(due),))] if due else []
    blocks.append(_Block("DO", tuple(f"{number}. {act}" for number, act in enumerate(acts, start=1))))
    handles = {each.role.lower(): each.contact for table in policy.contacts for each in table.contacts if each.contact}
    people = [f"{step.to}{_handle(handles.get(step.to.lower(), ''))}: {step.sop}" for step in level.escalation]
    blocks.append(_Block("CALL", tuple(dict.fromkeys(people)), "contacts"))
    if policy.quick_fixes is not None:
        rows = tuple(f"{row.symptom}: {row.fix}" for row in policy.quick_fixes.fixes)
        blocks.append(_Block("FIX", rows, policy.quick_fixes.source))
    # Those of this severity alone first: what is last gives way first.
    lists = [each for each in policy.checklists_for(severity) if each.phase != "review"]
    blocks += _lists(sorted(lists, key=lambda each: len(each.severities)))
    answer = level.response.sop.removeprefix("Response: ")
    return f"{policy.cite} · {severity} {level.name} · answer: {answer}", blocks


def _topics(policy: Policy) -> Iterator[_Topic]:
    named = {each.name: each for each in policy.procedures}
    tables = {table.name: table for table in policy.contacts}

    def seen(names: Iterable[str]) -> Iterator[_Block]:
        for name in names:
            if name in named:
                yield _Block("RUN", tuple(_steps(named[name].steps)), name)
            if name in tables:
                yield _Block("ASK AT", tuple(f"{each.role}: {each.contact}" for each in tables[name].contacts), name)

    if policy.quick_fixes is not None:
        for row in policy.quick_fixes.fixes:
            yield _Topic(row.symptom, (_Block("FIX", (row.fix,)), *seen(row.see)), row.also)
        rows = tuple(f"{row.symptom}: {row.fix}" for row in policy.quick_fixes.fixes)
        yield _Topic(policy.quick_fixes.source, (_Block("FIX", rows),), whole=False)
    if policy.alerts is not None:
        for alert in policy.alerts.alerts:
            blocks = (_Block("CAUSE", (alert.cause,)), _Block("FIRST", (alert.action,)), *seen(alert.see))
            yield _Topic(alert.alert, tuple(block for block in blocks if any(block.items)), alert.also)
    for scenario in policy.scenarios:
        parts: Mapping[str, tuple[str, ...]] = {
            "SEEN": (", ".join(scenario.symptoms),) if scenario.symptoms else (),
            "LOOK": tuple(_steps(scenario.investigate)),
            "DO": tuple(_steps(scenario.steps, numbered=True)),
            "ELSE": scenario.otherwise,
            "TELL": scenario.escalation,
        }
        blocks = tuple(_Block(label, items) for label, items in parts.items() if items)
        yield _Topic(scenario.name, blocks, scenario.also)
    for procedure in policy.procedures:
        steps = _Block("RUN", tuple(_steps(procedure.steps, numbered=True)))
        about = (_Block("ABOUT", (procedure.about,)),) if procedure.about else ()
        yield _Topic(procedure.name, (*about, steps), whole=False)
    for checklist in policy.checklists:
        yield _Topic(checklist.name, tuple(_lists([checklist])), whole=False)
    yield _Topic("contacts", tuple(_tables(policy)), whole=False)


def _find(known: list[_Topic], words: str) -> list[_Topic]:
    """The topics that are meant: of exactly this title, else of all of these words, else called so by other words."""
    wanted = _words(words)
    if not wanted:
        return []
    exact = [topic for topic in known if _words(topic.title) == wanted]
    titled = [topic for topic in known if set(wanted) <= set(_words(topic.title))]
    called = [topic for topic in known if any(set(wanted) <= set(_words(word)) for word in topic.also)]
    found = exact or [*titled, *(topic for topic in called if topic not in titled)]
    # A symptom goes before what only has commands or a list.
    return [topic for topic in found if topic.whole] or found[:1]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9%>]+", text.lower())


def _steps(steps: Iterable[Step], *, numbered: bool = False) -> Iterator[str]:
    for number, step in enumerate(steps, start=1):
        lines = [f"{number}. {step.do}" if numbered else step.do]
        lines[0] += f" ({'; '.join(step.points)})" if step.points else ""
        commands = step.run.splitlines()
        together = f"{lines[0]}:  {' && '.join(commands)}" if commands else lines[0]
        if len(together) <= WIDTH - LABEL:
            yield together
        else:
            yield lines[0]
            yield from (f"   $ {command}" for command in commands)


def _people(policy: Policy) -> _Block:
    """The SOP's first table of contacts, with what its other tables say about the same roles."""
    first = policy.contacts[0].contacts if policy.contacts else ()
    when = {each.role: each.when for table in policy.contacts for each in table.contacts if each.when}
    people = (f"{each.role}{_handle(each.contact)}{_when(each.when or when.get(each.role, ''))}" for each in first)
    return _Block("CALL", tuple(people) or ("the SOP names nobody",), "contacts")


def _handle(contact: str) -> str:
    # A placeholder tells nobody where to call, and must not look as if it did.
    if not contact:
        return ""
    return " (not filled in)" if "[" in contact else f" {contact}"


def _when(when: str) -> str:
    return f": {when}" if when else ""


def _tables(policy: Policy) -> Iterator[_Block]:
    for table in policy.contacts:
        rows = [f"{each.role}{_handle(each.contact)}{_when(each.when)}" for each in table.contacts]
        yield _Block("CALL", (f"{table.name}:", *(f"  {row}" for row in rows)))


def _lists(checklists: Iterable[Checklist]) -> list[_Block]:
    label = {"triage": "ASK", "communicate": "TELL", "investigate": "LOOK", "review": "LATER"}
    return [
        _Block(label.get(each.phase, "CHECK"), tuple(f"[ ] {item}" for item in each.items), each.name, can_go=True)
        for each in checklists
    ]


# -- on one screen ----------------------------------------------------------------------------------------------------


def _fit(title: str, blocks: list[_Block]) -> list[str]:
    shown = [(block, list(_lines(block))) for block in blocks if block.items]
    room = HEIGHT - 1
    while sum(len(lines) for _, lines in shown) > room:
        # What comes last gives way first, line by line, and lists before everything else.
        lists = [place for place, (block, _) in enumerate(shown) if block.can_go]
        can = [place for place in lists or range(len(shown)) if len(shown[place][1]) > 2]
        if not can:
            del shown[lists[-1] if lists else -1]
            continue
        last = can[-1]
        block, lines = shown[last]
        hint = f'sevdrill card "{block.more}"' if block.more else "in the SOP"
        shown[last] = (block, [*lines[:-2], f"{'':{LABEL}}{f'... more: {hint}':.{WIDTH - LABEL}}"])
    heading = "".join(c if c.isprintable() else " " for c in title)
    return [textwrap.shorten(heading, WIDTH, placeholder=" ..."), *(line for _, lines in shown for line in lines)]


def _lines(block: _Block) -> Iterator[str]:
    items = ["".join(c if c.isprintable() else " " for c in item) for item in block.items]
    width = WIDTH - LABEL
    half = width // 2
    # Short ones stand side by side, read downwards like any list.
    if len(items) > 3 and all(len(item) < half and not item.startswith(" ") for item in items):
        rows = (len(items) + 1) // 2
        right = [*items[rows:], ""][:rows]
        items = [f"{left:<{half}}{beside}".rstrip() for left, beside in zip(items[:rows], right, strict=True)]
    label = f"{block.label:<{LABEL}}"
    for item in items:
        indent = " " * (len(item) - len(item.lstrip()))
        for line in textwrap.wrap(item.strip() if indent else item, width - len(indent), drop_whitespace=True) or [""]:
            yield f"{label}{indent}{line}".rstrip()
            label = " " * LABEL
            indent = indent or "  "
