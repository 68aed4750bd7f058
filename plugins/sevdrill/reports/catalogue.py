"""The catalogue of kinds: what each is for, its settings, what it needs of a stack, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sevdrill.actions import Action
from sevdrill.faults import Fault
from sevdrill.kinds import Kinds
from sevdrill.shape import sentence

__all__ = ["catalogue", "pages"]


def catalogue(kinds: Kinds) -> list[dict[str, Any]]:
    """Every kind as JSON."""
    return [
        _entry(family, name, kind)
        for family in ("fault", "action", "probe", "check")
        for name, kind in sorted(kinds.named(family).items())
    ]


def _entry(family: str, name: str, kind: Any) -> dict[str, Any]:
    described = kind.model_json_schema(by_alias=True)
    required = set(described.get("required", ()))
    entry: dict[str, Any] = {
        "family": family,
        "kind": name,
        "about": (kind.__doc__ or "").strip(),
        "needs": sorted(port.__name__ for port in kind.needs),
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
    if issubclass(kind, Fault):
        entry["undo"] = (kind.undo.__doc__ or "").strip() or "from its record alone, in any process; proved twice"
    if issubclass(kind, Action):
        entry["marks"] = kind.marks
        entry["message"] = kind.is_message
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
