"""From a drill file to a typed drill, or to every mistake in it with its place.

A mistake in a name is told once and then mended in a copy of the data (an unknown key gets the name that was probably
meant), and the copy is looked at again: so one misspelt key does not hide what else is wrong around it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from sevdrill.detectors import tag_of
from sevdrill.errors import DrillFileError
from sevdrill.kinds import Kinds
from sevdrill.model import Model
from sevdrill.opening import open_file
from sevdrill.ports import Load
from sevdrill.probes import Probe
from sevdrill.reading import MOST_BYTES, read, skim
from sevdrill.rules import items, rules
from sevdrill.scenario import Scenario, StopConditions, scenario_model, stop_model
from sevdrill.severity import LIMITS
from sevdrill.shape import Schema, Shape, plain, suggest
from sevdrill.source import Place, Problem, Source, at, given, quote
from sevdrill.units import Duration
from sevdrill.wording import MOST_SHOWN, did_you_mean, explain, report

__all__ = ["LoadedDrill", "check_targets", "load", "load_data", "load_stop", "schema", "with_stop"]

# Each mended name may uncover another below it: a key, a kind, that kind's keys, their keys.
_MOST_MENDED = 10
_MOST_LOOKED_AT = 100
_Whole = type[Scenario] | type[StopConditions]
_Read = TypeVar("_Read", bound=Model)
_HOST = re.compile(r"https?://(?:[^/?#@]*@)?([^/?#:]+)")


@dataclass(frozen=True)
class LoadedDrill:
    """A drill file without mistakes."""

    scenario: Scenario
    path: Path
    origin: Source | bytes = field(default=b"", compare=False, repr=False)
    """What it was read from: the bytes of a file, or the data that Python code made."""
    begins: int | None = None
    """The line where it begins, from 1; None for that of the key `drill` in its file."""
    shown: str = ""
    """The file as messages name it."""
    name: str = ""
    """Name of the run's folder; that of the file when empty."""

    @property
    def source(self) -> Source:
        """Text and places, for mistakes that only show later: a file is read for them whenever they are asked for.

        They take more room than all else that is known of a drill.
        """
        return read(self.origin) if isinstance(self.origin, bytes) else self.origin

    @cached_property
    def line(self) -> int:
        """The line where it begins, from 1."""
        return self.source.keys["drill",].line if self.begins is None else self.begins


def load(
    path: Path, *, kinds: Kinds | None = None, services: Sequence[str] | None = None, root: Path | None = None
) -> LoadedDrill:
    """Read and check a drill file.

    ``kinds`` are the kinds that it may use (sevdrill's own when left out), ``services`` the stack's services (not
    checked when left out), and messages name the file as seen from ``root`` (the working directory when left out).

    Raises:
        DrillFileError: the file cannot be read or has mistakes; the message lists every one of them with its place.
    """
    shown = _shown(path, root)
    raw = _read(path, shown)
    model = scenario_model(kinds or Kinds.default())
    # Where nothing is wrong nothing must be pointed at.
    scenario = _good(raw, model, path.parent, services) or _looked_at(read(raw), shown, model, path.parent, services)
    return LoadedDrill(scenario, path, raw, shown=shown)


def load_stop(
    path: Path, *, kinds: Kinds | None = None, services: Sequence[str] | None = None, root: Path | None = None
) -> tuple[Probe, ...]:
    """Read and check a file with stop conditions for every drill; arguments as for `load`.

    Raises:
        DrillFileError: as for `load`.
    """
    shown = _shown(path, root)
    source = read(_read(path, shown), "stop")
    problems = list(source.problems)
    found: StopConditions | None = None
    if source.complete:
        checker = _StopChecker(source, stop_model(kinds or Kinds.default()), path.parent, services)
        found = checker.check()
        problems += checker.problems
    if problems or found is None:
        raise DrillFileError(report(shown, source, problems))
    return found.stop


def with_stop(loaded: LoadedDrill, conditions: Sequence[Probe]) -> LoadedDrill:
    """The drill with stop conditions that stand for every drill; those about users only where there are some."""
    scenario = loaded.scenario
    apt = [probe for probe in conditions if scenario.load is not None or Load not in probe.needs]
    return replace(loaded, scenario=scenario.model_copy(update={"stop": (*scenario.stop, *apt)}))


def _read(path: Path, shown: str) -> bytes:
    try:
        with open_file(path) as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise DrillFileError(f"{shown}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def load_data(
    data: Any,
    path: Path,
    line: int,
    *,
    shown: str,
    name: str,
    kinds: Kinds | None = None,
    services: Sequence[str] | None = None,
) -> LoadedDrill:
    """Check a drill that Python code made: the same keys as in a file, as dicts, lists, text and numbers.

    ``path`` and ``line`` are where the code is, ``shown`` is what messages call it, ``name`` is the run folder's.

    Raises:
        DrillFileError: it has mistakes; the message lists every one of them with its path of keys.
    """
    source = given(data)
    scenario = _looked_at(source, shown, scenario_model(kinds or Kinds.default()), path.parent, services)
    return LoadedDrill(scenario, path, source, line, shown, name)


def _good(raw: bytes, model: type[Scenario], folder: Path, services: Sequence[str] | None) -> Scenario | None:
    """The drill of a file that has no mistake and nothing unusual; None says that it must be looked at, and no more."""
    data = skim(raw)
    if data is None or "drill" not in data:
        return None
    try:
        scenario = _validate(model, data, folder)
    except ValidationError:
        return None
    wrong = any(rules(data, model.kinds)) or (services is not None and any(_wrong_services(data, model, services)))
    return None if wrong else scenario


def _looked_at(
    source: Source, shown: str, model: type[Scenario], folder: Path, services: Sequence[str] | None
) -> Scenario:
    """The drill, or every mistake with its place."""
    problems = list(source.problems)
    scenario: Scenario | None = None
    if source.complete:
        checker = _Checker(source, model, folder, services)
        scenario = checker.check()
        problems += checker.problems
    if problems or scenario is None:
        raise DrillFileError(report(shown, source, problems))
    return scenario


def check_targets(loaded: LoadedDrill, limits: Mapping[str, float], policy: str) -> None:
    """Check that no target of the drill is looser than the policy's, unless it is waived.

    ``limits`` are the policy's targets for the drill's severity, in seconds by target key; where it has none, a target
    cannot be looser. ``policy`` is its name.

    Raises:
        DrillFileError: a target is looser and not waived, or a waiver waives nothing.
    """
    scenario = loaded.scenario
    wrong: list[tuple[Place, str]] = []
    waived = {waiver.target: index for index, waiver in enumerate(scenario.waive)}
    for key, target in scenario.targets.items():
        if key in limits and target > limits[key] and key not in waived:
            text = (
                f"target {key} ({target}) is looser than {scenario.severity} of {policy} allows "
                f"({Duration(limits[key])}); give {Duration(limits[key])} or less, or say why not: "
                f'waive: [{{target: {key}, because: "..."}}]'
            )
            wrong.append((("targets", key), text))
    for key, index in waived.items():
        stated = scenario.targets.get(key)
        if stated is not None and key in limits and stated > limits[key]:
            continue
        if stated is None:
            why = f'"targets" has no "{key}"'
        elif key in limits:
            why = f"{stated} is no looser than {scenario.severity} of {policy} allows ({Duration(limits[key])})"
        else:
            why = f"{policy} has no {key} target for {scenario.severity}"
        text = f"the waiver waives nothing: {why}; take it out"
        wrong.append((("waive", index, "target"), text))
    if wrong:
        problems = [Problem(loaded.source.span(place), text) for place, text in wrong]
        raise DrillFileError(report(loaded.shown, loaded.source, problems))


def schema(kinds: Kinds | None = None) -> Schema:
    """JSON Schema of a drill file, for editors; docstrings are its descriptions."""
    return deepcopy(_drill_schema(kinds or Kinds.default()))


@lru_cache(maxsize=16)
def _drill_schema(kinds: Kinds) -> Schema:
    """JSON Schema of a drill file that may use these kinds; treat it as read-only."""
    made: Schema = plain(scenario_model(kinds).model_json_schema(by_alias=True))
    # What detects is told by which key is there, and pydantic says that of no schema.
    detectors = made["properties"]["detect"]["items"]
    *own, made["$defs"]["DetectingProbe"] = detectors["oneOf"]
    references = [each["$ref"] for each in own] + ["#/$defs/DetectingProbe"]
    detectors["oneOf"] = [{"$ref": reference} for reference in references]
    tags = [_told_by(made["$defs"][reference.rpartition("/")[2]]) for reference in references]
    detectors["discriminator"] = {"mapping": dict(zip(tags, references, strict=True))}
    for key, target in made["properties"]["targets"]["properties"].items():
        target["description"] = f"At most this long from `injected` to `{LIMITS[key]}`."
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "sevdrill drill"
    made["oneOf"] = [{"required": ["inject"], "not": {"required": ["quiet"]}}, {"required": ["quiet"]}]
    return made


def _told_by(node: Schema) -> str:
    return str(node.get("discriminator", {}).get("propertyName") or tag_of(node["properties"]))


@lru_cache(maxsize=16)
def _stop_schema(kinds: Kinds) -> Schema:
    made: Schema = plain(stop_model(kinds).model_json_schema(by_alias=True))
    return made


class _Checker:
    """Looks at the data of one file until it has seen everything."""

    def __init__(self, source: Source, model: _Whole, folder: Path, services: Sequence[str] | None) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._model = model
        self._folder = folder
        self._services = services
        self._data = deepcopy(source.data)
        self._renamed: dict[Place, str] = {}
        self._unknown: set[Place] = set()

    @property
    def _shape(self) -> Shape:
        return Shape(_drill_schema(self._model.kinds))

    def check(self) -> Any:
        """What the file holds; None when there are problems."""
        if not self._is_drill():
            return None
        scenario, errors = self._validate()
        for _ in range(_MOST_MENDED):
            mended = [self._mend(error) for error in errors]
            if not any(mended):
                break
            scenario, errors = self._validate()
            if len(self.problems) > MOST_SHOWN:
                break
        empty = set(self._empty(self._source.data, ()))
        for place in empty - self._unknown:
            if isinstance(place[-1], str):
                text = f"{quote(place[-1])} has no value; give it one, or take the key out"
                self.problems.append(Problem(self._source.keys[place], text))
            else:
                self.problems.append(Problem(self._source.span(place), "an empty item; fill it in, or take it out"))
        told = [self._tell(error) for error in errors if not self._is_echo(error)]
        told += [(self._original(place), text) for place, text in self._rules()]
        if self._services is not None:
            wrong = _wrong_services(self._data, self._model, self._services)
            told += [(self._original(place), text) for place, text in wrong]
        self.problems += [Problem(self._source.span(place), text) for place, text in told if place not in empty]
        if scenario is None and not self.problems:
            # Nothing that is written is wrong by itself, such as when a rule objects to what was left out.
            told = [self._tell(error) for error in errors]
            self.problems = [Problem(self._source.span(place), text) for place, text in told]
        return scenario

    def _rules(self) -> Iterator[tuple[Place, str]]:
        return rules(self._data, self._model.kinds)

    def _is_drill(self) -> bool:
        data = self._data
        if isinstance(data, dict) and ("drill" in data or any(suggest(key, ["drill"]) for key in islice(data, 100))):
            return True
        text = 'this is no drill: its top level has no key "drill"'
        self.problems.append(Problem(self._source.span(()), text))
        return False

    def _validate(self) -> tuple[Any, list[Any]]:
        try:
            return _validate(self._model, self._data, self._folder), []
        except ValidationError as error:
            return None, error.errors(include_url=False, include_input=False)[:_MOST_LOOKED_AT]

    def _mend(self, error: Any) -> bool:
        """Tell a mistake in a name and mend it in the copy, if it is one."""
        shape, kind, loc = self._shape, error["type"], error["loc"]
        place, node = shape.locate(self._data, loc)
        value = at(self._data, place)
        if kind == "extra_forbidden" and place and place[-1] == loc[-1]:
            inside = shape.locate(self._data, loc[:-1])[1]
            others = set(at(self._data, place[:-1]))
            self._rename(place, *did_you_mean("key", str(loc[-1]), shape.keys(inside), others))
            return True
        if kind == "union_tag_invalid":
            tag = shape.tag(node)
            text, meant = did_you_mean(tag, str(value[tag]), list(shape.kinds(node)))
            if meant:
                self.problems.append(Problem(self._source.span(self._original((*place, tag))), text))
                value[tag] = meant
            return bool(meant)
        if kind == "union_tag_not_found" and isinstance(value, dict):
            tags = shape.tags(node)
            near = next((key for key in value if suggest(key, tags)), None)
            if near is not None and not any(tag in value for tag in tags):
                self._rename((*place, near), *did_you_mean("key", near, tags))
                return True
        if kind == "literal_error" and loc[-1] == "[key]" and place and place[-1] == loc[-2]:
            inside = shape.locate(self._data, loc[:-2])[1]
            what = str(loc[-3]).removesuffix("s") if len(loc) > 2 else "key"
            self._rename(place, *did_you_mean(what, str(place[-1]), shape.keys(inside)))
            return True
        return False

    def _rename(self, place: Place, text: str, meant: str) -> None:
        parent, old = at(self._data, place[:-1]), str(place[-1])
        original = self._original(place)
        self.problems.append(Problem(self._source.keys[original], text))
        self._unknown.add(original)
        value = parent.pop(old)
        if meant and meant not in parent:
            parent[meant] = value
            self._renamed[(*place[:-1], meant)] = str(original[-1])

    def _original(self, place: Place) -> Place:
        """The place in the file of what is at ``place`` in the mended copy."""
        return tuple(self._renamed.get(place[: i + 1], part) for i, part in enumerate(place))

    def _empty(self, data: Any, place: Place) -> Iterator[Place]:
        if data is None and place:
            yield place
        elif isinstance(data, dict | list):
            for key, value in data.items() if isinstance(data, dict) else enumerate(data):
                yield from self._empty(value, (*place, key))

    def _is_echo(self, error: Any) -> bool:
        """Whether an error only repeats what is told elsewhere: pydantic takes bad items of a list for missing ones."""
        if error["type"] == "too_short":
            items_there = at(self._data, self._shape.locate(self._data, error["loc"])[0])
            return len(items_there) >= int(error["ctx"]["min_length"])
        return bool(error["type"] == "rules")

    def _tell(self, error: Any) -> tuple[Place, str]:
        place, node = self._shape.locate(self._data, error["loc"])
        if error["type"] == "union_tag_invalid":
            tag = self._shape.tag(node)
            name = at(self._data, (*place, tag))
            return self._original((*place, tag)), did_you_mean(tag, str(name), list(self._shape.kinds(node)))[0]
        original = self._original(place)
        name = next((str(part) for part in reversed(place) if isinstance(part, str)), "drill")
        written = self._source.written.get(original, "")
        return original, explain(error, at(self._data, place), written, self._shape, node, name)


def _validate(model: type[_Read], data: Any, folder: Path) -> _Read:
    # As JSON and strict: lists become tuples, but nothing else becomes what it is not ("5" no number).
    return model.model_validate_json(
        json.dumps(data), strict=True, by_alias=True, by_name=False, context={"folder": folder}
    )


def _wrong_services(data: Any, model: _Whole, services: Sequence[str]) -> Iterator[tuple[Place, str]]:
    load = data.get("load")
    for key in ("host", "ca") if isinstance(load, dict) else ():
        found = _HOST.match(str(load.get(key)))
        if found is not None and found[1] not in services:
            yield ("load", key), did_you_mean("service", found[1], list(services))[0]
    for place, family, item in items(data):
        kind = model.kinds.named(family).get(str(item.get(family)))
        for key, value in item.items():
            # Settings of a part, such as who issued a secret, name services like the kind itself.
            parts = value.items() if isinstance(value, dict) else ()
            for where, name in [((key,), value), *(((key, part), each) for part, each in parts)]:
                if not isinstance(name, str):
                    continue
                if where[-1] == "service":
                    asked: str | None = name
                elif kind is not None and _is_url(kind, str(where[0])) and name.startswith("http"):
                    host = _HOST.match(name)
                    asked = host[1] if host else None
                else:
                    continue
                if asked is None:
                    yield (*place, *where), f"{quote(name)} names no service, such as http://{services[0]}/"
                elif asked not in services:
                    yield (*place, *where), did_you_mean("service", asked, list(services))[0]


class _StopChecker(_Checker):
    @property
    def _shape(self) -> Shape:
        return Shape(_stop_schema(self._model.kinds))

    def _rules(self) -> Iterator[tuple[Place, str]]:
        return iter(())

    def _is_drill(self) -> bool:
        if isinstance(self._data, dict):
            return True
        text = 'this file holds no stop conditions: its top level has no key "stop"'
        self.problems.append(Problem(self._source.span(()), text))
        return False


@lru_cache(maxsize=512)
def _is_url(kind: type[Model], key: str) -> bool:
    """Whether a setting is a URL as the stack's services see it: kinds say so by a pattern that begins with ^http."""
    field = kind.model_fields.get(key)
    patterns = [getattr(each, "pattern", None) for each in field.metadata] if field else []
    return any(str(pattern).startswith("^http") for pattern in patterns)


def _shown(path: Path, root: Path | None) -> str:
    full, base = os.path.abspath(path), os.path.abspath(root or Path.cwd())  # noqa: PTH100 - links stay as they are named
    return os.path.relpath(full, base) if os.path.commonpath([full, base]) == base else str(path)
