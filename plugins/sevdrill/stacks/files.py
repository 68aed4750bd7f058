"""Compose files as YAML: what ``docker compose config`` prints, and a quick look at files without an engine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from sevdrill.errors import UsageError
from sevdrill.masking import MASKER
from sevdrill.opening import open_file

__all__ = ["given_names", "load_printed", "loader", "service_names", "services_by_profile"]

MOST_BYTES = 4 << 20
"""The largest Compose file that is read, in bytes."""
MOST_NESTED = 100
"""The deepest nesting, in levels."""
MOST_VALUES = 50_000
"""The most values in a file, each alias counted as what it stands for."""
MOST_FILES = 200
"""The most files that may include each other."""

_Base: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the C loader where PyYAML has it
    """YAML as Compose reads it: no old booleans, octals, dates or base-60 numbers; unknown tags are looked through."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _look_through(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


def _number(loader: Any, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node), 10)  # PyYAML would take 010 for 8


_Loader.add_multi_constructor("!", _look_through)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)

loader: type[Any] = _Loader
"""The loader, for who wants the places of things as well."""


def load_printed(text: str) -> dict[str, Any]:
    """The model that ``docker compose config`` printed.

    Raises:
        UsageError: it is no YAML, or too much of it.
    """
    loaded = _load(text.encode("utf-8", "replace"), "what docker compose config printed")
    return loaded if isinstance(loaded, dict) else {}


def service_names(files: Iterable[Path]) -> list[str]:
    """Names of the services in Compose files, sorted, by reading them only: no engine, no interpolation.

    Raises:
        UsageError: a file is not there, or is no Compose file.
    """
    return sorted({str(name) for services in _services(files) for name in services})


def services_by_profile(files: Iterable[Path]) -> dict[str, list[str]]:
    """Names of the services of each profile in Compose files, by reading them only.

    Raises:
        UsageError: a file is not there, or is no Compose file.
    """
    found: dict[str, set[str]] = {}
    for services in _services(files):
        for name, service in services.items():
            given = service.get("profiles") if isinstance(service, dict) else None
            for profile in given if isinstance(given, list | tuple) else ():
                found.setdefault(str(profile), set()).add(str(name))
    return {profile: sorted(names) for profile, names in found.items()}


def _services(files: Iterable[Path]) -> Iterator[dict[Any, Any]]:
    """The services of each file, those included as well."""
    todo, seen = list(files), set[str]()
    while todo:
        file = todo.pop()
        # The same file may be included by a way that is longer each time.
        if os.path.realpath(file) in seen:
            continue
        seen.add(os.path.realpath(file))
        if len(seen) > MOST_FILES:
            raise UsageError(f"{file}: more than {MOST_FILES} Compose files include each other")
        document = _read(file)
        services = document.get("services") or {}
        if not isinstance(services, dict):
            raise UsageError(f"{file}: services is no mapping; expected a Compose file")
        yield services
        include = document.get("include") or ()
        if not isinstance(include, list | tuple):
            raise UsageError(f"{file}: include is no list; expected a Compose file")
        for entry in include:
            paths = entry.get("path") if isinstance(entry, dict) else entry
            todo += [file.parent / str(path) for path in (paths if isinstance(paths, list) else [paths])]


def given_names(files: Iterable[Path]) -> list[str]:
    """The project names that Compose files give themselves."""
    return [str(name) for file in files if (name := _read(file).get("name"))]


def _load(raw: bytes, shown: str) -> Any:
    """One YAML document, which the composer of libyaml can only be given within bounds: it recurses on the C stack."""
    try:
        _bound(raw)
        return yaml.load(raw, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise UsageError(f"{shown}: is no YAML: {error}") from None
    except (ValueError, TypeError, RecursionError) as error:
        # A number of thousands of digits, a text that is half a character, keys that are no keys.
        raise UsageError(f"{shown}: is no YAML that can be read: {error}") from None


def _bound(raw: bytes) -> None:
    """Count what the document holds, each alias as what it stands for.

    Raises:
        ValueError: it is too much, nested too deep, or part of itself.
    """
    sizes: dict[str, int] = {}
    # Sizes and anchors of the collections that are open, from the outside in.
    open_: list[tuple[str | None, int]] = [(None, 0)]
    loader = _Base(raw)
    try:
        while loader.check_event():
            event = loader.get_event()
            anchor = getattr(event, "anchor", None)
            if isinstance(event, yaml.CollectionStartEvent):
                open_.append((anchor, 1))
                sizes.pop(anchor or "", None)
                size = 0
            elif isinstance(event, yaml.CollectionEndEvent):
                ended, size = open_.pop()
                sizes[ended or ""] = size
            elif isinstance(event, yaml.AliasEvent):
                if anchor not in sizes:
                    raise ValueError(f"the alias *{anchor} stands for nothing, or for something that it is a part of")
                size = sizes[anchor]
            else:
                size = 1
                sizes[anchor or ""] = 1
            outer, so_far = open_[-1]
            open_[-1] = (outer, so_far + size)
            if so_far + size > MOST_VALUES or len(open_) > MOST_NESTED:
                raise ValueError(f"more than {MOST_VALUES} values, or nested deeper than {MOST_NESTED} levels")
    finally:
        loader.dispose()


def _read(file: Path) -> dict[str, Any]:
    try:
        with open_file(file) as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read ({error.strerror}); expected a Compose file; "
            "pytest's ini key drill_stack names the stack's files"
        ) from None
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{file}: is larger than {MOST_BYTES >> 20} MiB; expected a Compose file")
    loaded = _load(raw, str(file))
    if not isinstance(loaded, dict):
        raise UsageError(f"{file}: is no Compose file; expected a mapping with the key services")
    MASKER.learn_compose(loaded)
    return loaded
