"""The shape of a file as JSON Schema: for editors, and to say what was possible where something is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any

from sevdrill.source import Place

__all__ = ["Schema", "Shape", "plain", "sentence", "suggest"]

Schema = dict[str, Any]
"""A JSON Schema, or a part of one."""


def plain(node: Any) -> Any:
    """Without what pydantic adds and no reader needs: titles, and null as a value (a key is given or left out)."""
    if isinstance(node, list):
        return [plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: {name: plain(each) for name, each in value.items()} if key in ("properties", "$defs") else plain(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
    }
    choices = kept.get("anyOf", [])
    if {"type": "null"} in choices and len(choices) == 2:
        del kept["anyOf"]
        kept = {**next(each for each in choices if each != {"type": "null"}), **kept}
    if "enum" in kept.get("propertyNames", {}):
        # The same, said in a way that editors can complete.
        names, value = kept.pop("propertyNames")["enum"], kept["additionalProperties"]
        kept |= {"properties": {name: dict(value) for name in names}, "additionalProperties": False}
    return kept


class Shape:
    """What a file may say at each place."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def locate(self, data: Any, loc: Iterable[str | int]) -> tuple[Place, Schema]:
        """Where pydantic's ``loc`` is in ``data``, and what may stand there.

        pydantic puts the name of a union's branch into ``loc``, and ``[key]`` behind a key of a mapping;
        neither is a place.
        """
        node, place, value = self._resolve(self._schema), [], data
        for part in loc:
            branch = self.kinds(node).get(str(part))
            if branch is not None:
                node = self._resolve(branch)
            elif isinstance(value, dict) and part in value:
                node = self._child(node, part)
                value = value[part]
                place.append(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                node, value = self._child(node, part), value[part]
                place.append(part)
        return tuple(place), node

    def keys(self, node: Schema) -> list[str]:
        """The keys that a mapping may have here."""
        return list(node.get("properties", {}))

    def kinds(self, node: Schema) -> dict[str, Schema]:
        """The kinds that may stand here, by name; empty where there is no choice."""
        mapping = node.get("discriminator", {}).get("mapping", {})
        return {name: {"$ref": reference} for name, reference in mapping.items()}

    def tag(self, node: Schema) -> str:
        """The key that names the kind here, such as `fault`; empty where there is no choice, or not by one key."""
        return str(node.get("discriminator", {}).get("propertyName", ""))

    def tags(self, node: Schema) -> list[str]:
        """The keys of which one must be there to tell the kind: that which names it, or one for each kind."""
        return [self.tag(node)] if self.tag(node) else list(self.kinds(node))

    def example(self, node: Schema) -> str:
        """How something that may stand here begins, such as `fault: container.kill`; empty where there is no choice."""
        tag, first = self.tag(node), next(iter(self.kinds(node)), "")
        return f"{tag or first}: {first if tag else 'NAME'}" if first else ""

    def about(self, node: Schema, key: str) -> str:
        """What a key of this mapping means, in one line; may be empty."""
        described = node.get("properties", {}).get(key, {})
        text = described.get("description") or self._resolve(described).get("description") or ""
        return sentence(text)

    def choices(self, node: Schema) -> list[str]:
        """The words that may stand here; empty where anything may."""
        return [str(word) for word in node.get("enum", [node["const"]] if "const" in node else [])]

    def _child(self, node: Schema, part: str | int) -> Schema:
        if isinstance(part, int):
            found = node.get("items", {})
        else:
            found = node.get("properties", {}).get(part) or node.get("additionalProperties")
        return self._resolve(found if isinstance(found, dict) else {})

    def _resolve(self, node: Schema) -> Schema:
        while "$ref" in node:
            found = self._schema["$defs"][node["$ref"].rpartition("/")[2]]
            node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
        return node


def sentence(text: str) -> str:
    """The first sentence of a docstring as the end of another sentence."""
    first = text.strip().partition("\n")[0].partition(". ")[0].rstrip(".").replace("`", "")
    return first[:1].lower() + first[1:] if first[1:2].islower() or first[1:2] == " " else first


def suggest(word: str, known: Collection[str], taken: Collection[str] = ()) -> str:
    """The known word that was probably meant, or an empty string; one in ``taken`` is less likely."""
    if not 0 < len(word) <= 40:
        return ""
    most = max(1, len(word) // 4)
    near = {each: _typos(word.lower(), each.lower()) for each in known if abs(len(word) - len(each)) <= most}
    within = [each for each, typos in near.items() if typos <= most and typos < max(len(word), len(each))]
    if within:
        return min(within, key=lambda each: (near[each], each in taken, -_alike(word, each)))
    # The end of a dotted name is what people remember: "kill" for "container.kill".
    ends = [each for each in known if each.rpartition(".")[2] == word]
    return next(iter(ends or difflib.get_close_matches(word, list(known), n=1)), "")


def _alike(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, word, other).ratio()


def _typos(word: str, other: str) -> int:
    """How many letters were left out, added, changed or swapped with the next."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(word, start=1):
        row = [i]
        for j, b in enumerate(other, start=1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and word[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
