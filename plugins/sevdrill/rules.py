"""Rules of a drill that concern more than one key.

They look at plain data, so that they can be told with their place even while other parts of the file are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from sevdrill.kinds import Kinds
from sevdrill.ports import Load
from sevdrill.source import Place, quote
from sevdrill.units import Duration

__all__ = ["items", "rules"]

_QUIET_HAS_NO = MappingProxyType(
    {
        "effect": "there is no effect to feel",
        "detect": "no alert may fire",
        "investigate": "there is nothing to investigate",
        "respond": "there is nothing to respond to",
        "close": "there is nothing to close",
        "targets": "there is nothing to count from",
    }
)


def rules(data: Any, kinds: Kinds) -> Iterator[tuple[Place, str]]:
    """What is wrong between keys: each with the place to point at.

    ``data`` is plain data as a file has it; whatever of it has the wrong shape is passed over, since the models say so.
    """
    if isinstance(data, dict):
        yield from _main_rules(data)
        yield from _time_rules(data)
        yield from _load_rules(data, kinds)
        yield from _step_rules(data, kinds)
        yield from _unique_rules(data)


def _main_rules(data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    quiet, inject = _given(data, "quiet"), _given(data, "inject")
    noisy = {n: _dict(fault).get("expect") == "no_page" for n, fault in enumerate(_sequence(data.get("inject")))}
    if quiet and not all(noisy.values()):
        yield ("quiet",), 'a drill has either "inject" or "quiet", not both (noise of a quiet one: "expect: no_page")'
    elif quiet:
        for key, why in _QUIET_HAS_NO.items():
            if _given(data, key):
                yield (key,), f'a quiet drill has no "{key}": nothing breaks, so {why}'
    elif any(noisy.values()):
        first = next(n for n, noise in noisy.items() if noise)
        yield ("inject", first, "expect"), '"expect: no_page" is for the noise of a quiet drill; give it "quiet"'
    elif not inject:
        place: Place = ("inject",) if "inject" in data else ()
        yield place, 'a drill needs "inject" (at least one fault), or "quiet" when nothing is to break'
    elif not _given(data, "detect") and _dict(data.get("steady_state")).get("throughout") is not True:
        place = ("detect",) if "detect" in data else ("inject",)
        yield place, '"inject" needs "detect": say which alert must fire'


def _time_rules(data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    steady = _dict(data.get("steady_state"))
    every, hold = _duration(steady.get("every", "200ms")), _duration(steady.get("hold", "3s"))
    if every is not None and every < 0.01:
        yield ("steady_state", "every"), "expected 10ms or more"
    elif every is not None and hold is not None and hold < every:
        place: Place = ("steady_state", "hold" if "hold" in steady else "every")
        yield place, f'"hold" ({hold}) must not be shorter than "every" ({every}): one look proves nothing'
    length = _duration(_dict(data.get("quiet")).get("for"))
    if length is not None and length <= 0:
        yield ("quiet", "for"), "expected more than 0s"
    limit = _duration(data.get("limit", "10m"))
    if limit is not None and limit <= 0:
        yield ("limit",), "expected more than 0s"
        return
    for place, key, item in items(data):
        longest = _duration(item.get("max")) if key in ("fault", "action") else None
        if longest is not None and limit is not None and longest < limit:
            text = f'the watchdog would end it ({longest}) before the drill may end ({limit}); raise "max"'
            yield (*place, "max"), text
    timed: list[tuple[Place, Duration | None]] = [
        (("targets", key), _duration(value)) for key, value in _dict(data.get("targets")).items()
    ]
    for place, target in timed:
        if target is not None and target <= 0:
            yield place, "expected more than 0s"
        elif target is not None and limit is not None and target > limit:
            yield place, f'the target ({target}) is longer than the drill may take ({limit}); raise "limit"'
    if length is not None and limit is not None and length >= limit:
        yield ("quiet", "for"), f'{length} is no shorter than the drill may take ({limit}); raise "limit"'


def _load_rules(data: dict[str, Any], kinds: Kinds) -> Iterator[tuple[Place, str]]:
    load = data.get("load")
    ledger = _dict(load).get("ledger") or ""
    for place, key, item in items(data):
        name = item.get(key)
        kind = kinds.named(key).get(name) if isinstance(name, str) else None
        if kind is None or Load not in getattr(kind, "needs", ()):
            continue
        if "load" not in data:
            yield (*place, key), f'the {key} {name} needs "load": without users there is nothing to look at'
        elif isinstance(load, dict) and isinstance(item.get("ledger"), str) and item["ledger"] != ledger:
            noted = f'"load" notes {quote(ledger)}' if ledger else '"load" names no ledger'
            yield (*place, "ledger"), f"unknown ledger {quote(item['ledger'])}; {noted}"


def _step_rules(data: dict[str, Any], kinds: Kinds) -> Iterator[tuple[Place, str]]:
    faults = [(_dict(fault).get("fault"), _dict(fault).get("service")) for fault in _sequence(data.get("inject"))]
    for place, key, item in items(data):
        name, service = item.get(key), item.get("service")
        step = kinds.named(key).get(name) if key == "action" and isinstance(name, str) else None
        fault = getattr(step, "answers_fault", "")
        if fault and isinstance(service, str) and (fault, service) not in faults:
            why = f'"inject" has no {fault} of {service}, whose undo would bring back what ran before'
            yield (*place, "service"), f"{name} would change the stack for good: {why}"


def _unique_rules(data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    names: set[str] = set()
    for place, key, item in items(data):
        name = item.get("name")
        # Stop conditions that stand for all drills must not clash with a drill's own names.
        if key == "probe" and place[0] != "stop" and isinstance(name, str) and name:
            if name in names:
                yield (*place, "name"), f"another probe is called {quote(name)} already"
            names.add(name)
    waived: set[str] = set()
    for index, waiver in enumerate(_sequence(data.get("waive"))):
        target = _dict(waiver).get("target")
        if isinstance(target, str):
            if target in waived:
                yield ("waive", index, "target"), f"{quote(target)} is waived already"
            waived.add(target)


def items(data: dict[str, Any]) -> Iterator[tuple[Place, str, dict[str, Any]]]:
    """Every fault, probe, action and check: its place, the key that names its kind, and its settings."""
    lists: tuple[tuple[Place, str, Any], ...] = (
        (("steady_state", "probes"), "probe", _dict(data.get("steady_state")).get("probes")),
        (("inject",), "fault", data.get("inject")),
        (("effect",), "probe", data.get("effect")),
        (("detect",), "probe", data.get("detect")),
        (("investigate",), "action", data.get("investigate")),
        (("respond",), "action", data.get("respond")),
        (("close",), "action", data.get("close")),
        (("verify",), "check", data.get("verify")),
        (("stop",), "probe", data.get("stop")),
    )
    for place, key, items in lists:
        for index, item in enumerate(_sequence(items)):
            # Among what detects are probes; the rest of it is no kind.
            if isinstance(item, dict) and (place != ("detect",) or "probe" in item):
                yield (*place, index), key, item


def _given(data: dict[str, Any], key: str) -> bool:
    """Whether a key says something; one without any value is a mistake of its own, so it counts."""
    return key in data and data[key] not in ([], {})


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _duration(value: Any) -> Duration | None:
    try:
        return Duration.parse(value) if isinstance(value, str) else None
    except ValueError:
        return None
