"""The catalogue of kinds: what each is for, its settings, what it needs of a stack, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sevdrill.actions import Action, RevertingAction
from sevdrill.detectors import DETECTORS, tag_of
from sevdrill.faults import Fault
from sevdrill.kinds import Kinds
from sevdrill.shape import sentence

__all__ = ["catalogue", "markdown", "pages"]

_UNDO = "from its record alone, in any process; proved twice"
_FAMILIES = {
    "fault": "What breaks (`inject:`). Each undoes itself, whatever happens to the run.",
    "action": "What the runbook does (`investigate:`, `respond:`, `close:`). Each is proved by its own effect.",
    "detector": "What tells of the incident (`detect:`). The first that does is the detection, and each must. Any "
    "probe is a detector, too: it tells once it says yes.",
    "probe": "What is looked at all the time (`steady_state:`, `effect:`, `stop:`, `detect:`).",
    "check": "What must hold at the end (`verify:`). One that cannot be read is unknown, and that never passes. What "
    "the runbook's own steps did is asked in mode `auto` only: in the others people do what they find right.",
}


def catalogue(kinds: Kinds) -> list[dict[str, Any]]:
    """Every kind as JSON."""
    detectors = {str(tag_of(kind.model_fields)): kind for kind in DETECTORS}
    return [
        _entry(family, name, kind)
        for family in _FAMILIES
        for name, kind in sorted((detectors if family == "detector" else kinds.named(family)).items())
    ]


def _entry(family: str, name: str, kind: Any) -> dict[str, Any]:
    described = kind.model_json_schema(by_alias=True)
    required = set(described.get("required", ()))
    entry: dict[str, Any] = {
        "family": family,
        "kind": name,
        "about": (kind.__doc__ or "").strip(),
        "needs": sorted(port.__name__ for port in kind.needs),
        "invariant": bool(getattr(kind, "invariant", False)),
        "defined_in": kind.__module__,
        "settings": [
            {
                "name": key,
                "type": _type(value, described.get("$defs", {})),
                "required": key in required,
                "default": value.get("default"),
                "about": value.get("description", ""),
            }
            for key, value in described.get("properties", {}).items()
            if key != family
        ],
    }
    if issubclass(kind, Fault | RevertingAction):
        entry["undo"] = (kind.undo.__doc__ or "").strip() or _UNDO
    if issubclass(kind, Action):
        entry["marks"] = kind.marks
        entry["message"] = kind.is_message
        if kind.answers_fault:
            entry["undo"] = f"that of {kind.answers_fault}, which the drill must inject into the same service"
    return entry


def _type(value: dict[str, Any], known: dict[str, Any]) -> str:
    if "$ref" in value:
        inner = known.get(value["$ref"].rpartition("/")[2], {})
        return _type(inner, known)
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(each, known) for each in value["anyOf"] if each.get("type") != "null"))
    if "enum" in value:
        return " | ".join(map(str, value["enum"]))
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}), known)}"
    if value.get("type") == "object" and "properties" in value:
        return f"{{{', '.join(value['properties'])}}}"
    examples = value.get("examples")
    return f"{value.get('type', 'text')}{f', such as {examples[0]}' if examples else ''}"


def pages(found: list[dict[str, Any]]) -> Iterator[str]:
    """The catalogue for people."""
    family = ""
    for entry in found:
        if entry["family"] != family:
            family = entry["family"]
            yield f"{family}s"
        yield f"  {entry['kind']}: {sentence(entry['about'])}"
        if not entry["defined_in"].startswith("sevdrill."):
            yield f"      added by: {entry['defined_in']}"
        if entry["needs"]:
            yield f"      needs: {', '.join(entry['needs'])}"
        for key, what in (("undo", "undo"), ("marks", "marks")):
            if entry.get(key):
                yield f"      {what}: {sentence(entry[key])}"
        for setting in entry["settings"]:
            default = "" if setting["default"] in (None, "") else f", default {setting['default']}"
            must = ", required" if setting["required"] else ""
            yield f"      {setting['name']} ({setting['type']}{must}{default}): {sentence(setting['about'])}"


def markdown(found: list[dict[str, Any]]) -> Iterator[str]:
    """The catalogue as a page of Markdown: each kind with its capabilities, its undo and its settings."""
    yield "# Kinds of fault, action, detector, probe and check"
    yield ""
    yield "Made by `sevdrill kinds --markdown` from the code; `make schema` writes it anew. A capability is what a kind"
    yield "needs of its stack: a drill that needs one which the stack lacks is skipped, and the missing one is named."
    for family, about in _FAMILIES.items():
        mine = [entry for entry in found if entry["family"] == family]
        if not mine:
            continue
        shared = [setting for setting in mine[0]["settings"] if all(setting in entry["settings"] for entry in mine)]
        shared = shared if len(mine) > 1 else []
        yield from ("", f"## {family.capitalize()}s", "", about)
        if shared:
            yield from ("", f"Settings of every {family}:", "", *_table(shared))
        for entry in mine:
            yield from ("", f"### `{entry['kind']}`", "", " ".join(entry["about"].split()), "")
            yield f"* capability: {', '.join(f'`{port}`' for port in entry['needs']) or 'none'}"
            if entry.get("undo"):
                yield f"* undo: {sentence(entry['undo'])}"
            if entry.get("marks"):
                yield f"* its proof sets the mark `{entry['marks']}`"
            if entry.get("message"):
                yield "* a message to people, no response to the incident"
            if entry["invariant"]:
                yield "* an invariant: when it is broken the drill is failed, whatever else went wrong"
            own = [setting for setting in entry["settings"] if setting not in shared]
            if own:
                yield from ("", *_table(own))


def _table(settings: list[dict[str, Any]]) -> Iterator[str]:
    yield "| setting | type | default | meaning |"
    yield "|---|---|---|---|"
    for setting in settings:
        default = "required" if setting["required"] else "" if setting["default"] in (None, "") else setting["default"]
        cells = (f"`{setting['name']}`", setting["type"], f"{default}", " ".join(setting["about"].split()))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
