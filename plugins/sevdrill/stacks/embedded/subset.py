"""The subset of Compose files that the embedded stack reads; what is outside is refused, with its place.

=============  =====================================================================================================
a service's    environment, expose, ports, depends_on, volumes (named ones), networks (for their aliases), image (to
               tell releases), scale, deploy.replicas, stop_grace_period, stop_signal, profiles, x-sevdrill
left alone     what speaks of images, containers and machines, and so of nothing that is here: build, command,
               entrypoint, healthcheck, init, user, working_dir, labels, logging, platform, dns settings, restart: "no"
refused        every other key
=============  =====================================================================================================

``<<`` and anchors work; ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and ``$$`` are replaced in strings. Several files
are merged as Compose does it: mappings key by key, lists one after the other, ``x-sevdrill`` whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sevdrill.errors import UsageError
from sevdrill.stacks.files import loader
from sevdrill.stacks.settings import meant, without_services

__all__ = ["Files", "read_files"]

TOP = {"services", "volumes", "networks", "name", "version"}
USED = {
    *("environment", "expose", "ports", "depends_on", "volumes", "networks", "image", "scale", "deploy"),
    *("stop_grace_period", "stop_signal", "profiles", "x-sevdrill"),
}
IDLE = {
    *("build", "command", "entrypoint", "healthcheck", "init", "user", "working_dir", "labels", "annotations"),
    *("logging", "platform", "pull_policy", "dns", "dns_opt", "dns_search", "container_name", "hostname", "tty"),
    *("stdin_open", "cap_add", "cap_drop", "security_opt", "restart"),
}
PATTERN = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<how>:?[-])(?P<default>[^}]*))?\}|(?P<bad>))"
)


class Files:
    """Compose files, merged, with the place of every key."""

    def __init__(self, data: dict[str, Any], nodes: Sequence[tuple[Path, yaml.Node]]) -> None:
        self.data, self._nodes = data, nodes

    def place(self, *path: str | int) -> str:
        """``file:line`` of what is at ``path`` in the last file that has it, as far down as it is there."""
        best, deepest = str(self._nodes[0][0]), -1
        for file, node in self._nodes:
            depth, line = _find(node, path)
            if depth >= deepest:
                best, deepest = f"{file}:{line}", depth
        return best

    def refuse_unknown(self) -> list[str]:
        """What the files have that the embedded stack does not know, each with its place."""
        found = [
            f"{self.place(key)}: {key} is not read by the embedded stack; use the Compose stack, or take it out"
            for key in self.data
            if key not in TOP and not str(key).startswith("x-")
        ]
        for name, service in self.data["services"].items():
            for key, value in service.items():
                known = key in USED or key in IDLE or str(key).startswith("x-")
                if not known or (key == "restart" and value not in ("no", False)):
                    hint = meant(str(key), USED | IDLE) if not known else ""
                    said = f"{key}: {value}" if key == "restart" else str(key)
                    found.append(
                        f"{self.place('services', name, key)}: service {name}: {said} is not read by the embedded "
                        f"stack{hint}; use the Compose stack (--drill-stack compose), or take it out"
                    )
        return found


def read_files(files: Sequence[Path], profiles: Collection[str] = ()) -> Files:
    """The files as one model, without the services whose profiles are not on.

    Raises:
        UsageError: one is not there, is no Compose file, or has what is outside the subset; all is listed.
    """
    merged: dict[str, Any] = {}
    nodes: list[tuple[Path, yaml.Node]] = []
    for file in files:
        data, node = _load(file)
        nodes.append((_shown(file), node))
        merged = _merged(merged, _listed(data), ())
    if not isinstance(merged.get("services"), dict) or not merged["services"]:
        raise UsageError(f"{', '.join(file.name for file in files)}: no service in it; expected a Compose file")
    found = Files(merged, nodes)
    for name, service in merged["services"].items():
        if not isinstance(service, dict):
            raise UsageError(f"{found.place('services', name)}: service {name} is no mapping")
    problems = found.refuse_unknown()
    if problems:
        raise UsageError("\n".join(problems))
    off = {
        name
        for name, service in merged["services"].items()
        if service.get("profiles") and not set(map(str, service["profiles"])) & set(profiles)
    }
    merged["services"] = {name: service for name, service in merged["services"].items() if name not in off}
    merged["x-sevdrill"] = without_services(merged.get("x-sevdrill"), off)
    return found


def _shown(file: Path) -> Path:
    try:
        return file.relative_to(Path.cwd())
    except ValueError:
        return file


def _load(file: Path) -> tuple[dict[str, Any], yaml.Node]:
    if not file.is_file():
        raise UsageError(f"there is no Compose file {file}; ini key drill_stack names the stack's files")
    try:
        text = file.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=loader)
        data = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise UsageError(f"{_shown(file)}: cannot be read as YAML: {error}") from None
    if not isinstance(data, dict) or node is None:
        raise UsageError(f"{_shown(file)}: is no Compose file; expected a mapping with the key services")
    found: dict[str, Any] = _interpolated(data, _shown(file))
    return found, node


def _interpolated(value: Any, file: Path) -> Any:
    if isinstance(value, str):
        return PATTERN.sub(lambda match: _variable(match, value, file), value)
    if isinstance(value, dict):
        return {key: _interpolated(each, file) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, file) for each in value]
    return value


def _variable(match: re.Match[str], value: str, file: Path) -> str:
    if match["escaped"]:
        return "$"
    name = match["plain"] or match["name"]
    if not name:
        raise UsageError(f'{file}: "{value}": expected $NAME, ${{NAME}}, ${{NAME:-default}}, or $$ for a plain $')
    given = os.environ.get(name)
    if given is None and name in _unread(file.parent / ".env"):
        raise UsageError(
            f"{file}: ${name} is set in {file.parent / '.env'}, which the embedded stack does not read; give it to the "
            f"run, such as by `set -a; . {file.parent / '.env'}`, or use the Compose stack (--drill-stack compose)"
        )
    if match["how"] and (given is None or (given == "" and match["how"].startswith(":"))):
        return match["default"] or ""
    return given or ""


def _unread(file: Path) -> set[str]:
    """Names of the variables that a `.env` file sets: Compose would take them from there."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return set(re.findall(r"^\s*(?:export\s+)?(\w+)\s*[=:]", text, re.MULTILINE))


def _listed(data: dict[str, Any]) -> dict[str, Any]:
    """``environment`` may be a list or a mapping: always a mapping, so that two can be merged."""
    services = data.get("services")
    if not isinstance(services, dict):
        return data
    for service in services.values():
        if not isinstance(service, dict):
            continue
        environment = service.get("environment")
        if isinstance(environment, list):
            pairs = [str(entry).partition("=") for entry in environment]
            service["environment"] = {
                name: value if equals else os.environ.get(name, "") for name, equals, value in pairs
            }
        depends = service.get("depends_on")
        if isinstance(depends, list):
            service["depends_on"] = {name: {"condition": "service_started"} for name in depends}
        if isinstance(service.get("networks"), list):
            service["networks"] = {name: {} for name in service["networks"]}
    return data


def _merged(old: Any, new: Any, path: tuple[str, ...]) -> Any:
    if path and path[-1].startswith("x-") and len(path) != 3:
        return new  # at the top level one file's is taken whole; a service's x-sevdrill is merged below
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        result = dict(old)
        for key, value in new.items():
            result[key] = _merged(old[key], value, (*path, str(key))) if key in old else value
        return result
    if isinstance(old, list) and isinstance(new, list) and path[-1:] not in (("command",), ("entrypoint",)):
        return [*old, *(each for each in new if each not in old)]
    return new


def _find(node: yaml.Node, path: tuple[str | int, ...]) -> tuple[int, int]:
    """How many steps of a path are there, and the line (from 1) of the last one."""
    line = node.start_mark.line + 1
    for depth, step in enumerate(path):
        found = _step(node, step)
        if found is None:
            return depth, line
        key, node = found
        line = key.start_mark.line + 1
    return len(path), line


def _step(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == step:
            return key, value
    for key, value in node.value:
        merges = value.value if key.value == "<<" and isinstance(value, yaml.SequenceNode) else [value]
        for merge in merges if key.value == "<<" else ():
            found = _step(merge, step)
            if found is not None:
                return found
    return None
