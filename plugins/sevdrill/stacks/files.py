"""Compose files as YAML: what ``docker compose config`` prints, and a quick look at files without an engine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from sevdrill.errors import UsageError

__all__ = ["given_names", "load_printed", "loader", "service_names"]

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
    """The model that ``docker compose config`` printed."""
    loaded = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    return loaded if isinstance(loaded, dict) else {}


def service_names(files: Iterable[Path]) -> list[str]:
    """Names of the services in Compose files, sorted, by reading them only: no engine, no interpolation.

    Raises:
        UsageError: a file is not there, or is no Compose file.
    """
    names: set[str] = set()
    todo, seen = list(files), set()
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        document = _read(file)
        services = document.get("services") or {}
        if not isinstance(services, dict):
            raise UsageError(f"{file}: services is no mapping; expected a Compose file")
        names |= {str(name) for name in services}
        for entry in document.get("include") or ():
            paths = entry.get("path") if isinstance(entry, dict) else entry
            todo += [file.parent / str(path) for path in (paths if isinstance(paths, list) else [paths])]
    return sorted(names)


def given_names(files: Iterable[Path]) -> list[str]:
    """The project names that Compose files give themselves."""
    return [str(name) for file in files if (name := _read(file).get("name"))]


def _read(file: Path) -> dict[str, Any]:
    try:
        loaded = yaml.load(file.read_bytes(), Loader=_Loader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read ({error.strerror}); expected a Compose file; "
            "pytest's ini key drill_stack names the stack's files"
        ) from None
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: is no YAML: {error}") from None
    if not isinstance(loaded, dict):
        raise UsageError(f"{file}: is no Compose file; expected a mapping with the key services")
    return loaded
