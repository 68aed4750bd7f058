"""Configuration of services: the environment each revision gives them, and how one is rolled out."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sevdrill.errors import StackError
from sevdrill.stacks.project import Project, read_entries
from sevdrill.stacks.replacing import replace_replicas
from sevdrill.stacks.settings import meant

__all__ = ["ComposeEnvironment", "Environments", "Variables"]

Variables = dict[str, str | None]


class Environments(ABC):
    """Roll out environments, and remember them by number; their values stay in the stack's own folder."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @abstractmethod
    def _given(self, service: str) -> Variables:
        """What the service's replicas are to be given now."""

    @abstractmethod
    def _seen(self, service: str) -> dict[str, Callable[[Variables], bool]]:
        """For each running replica, by its name, whether it has certain values."""

    @abstractmethod
    def _replace(self, service: str, variables: Variables, begun: Callable[[], None]) -> str:
        """Replace every replica by one with these values; what went wrong, empty if nothing did.

        ``begun`` is called once nobody else changes the stack, and before anything is changed.
        """

    def _value(self, text: str) -> str:
        """A value as the stack's own files write it."""
        return text

    def variables(self, service: str) -> list[str]:
        """Names of the variables that the service's files give it."""
        return sorted(self._given(service))

    def history(self, service: str) -> list[int]:
        """Revisions in the order in which they were rolled out, the present one last; 0 is how the stack started."""
        return [int(entry["revision"]) for entry in self._entries(service)] or [0]

    def running(self, service: str) -> dict[str, int]:
        """The revision whose values each running replica really has, by replica name; -1 is none that is known."""
        known = {e["revision"]: e["variables"] for e in self._entries(service)}
        if not known:
            known = {0: self._given(service)}
        found = {}
        for replica, has in self._seen(service).items():
            match = [number for number, variables in known.items() if has(variables)]
            found[replica] = int(match[-1]) if match else -1
        return found

    def configure(self, service: str, changes: Mapping[str, str]) -> None:
        """Roll out changed values as the next revision.

        Raises:
            StackError: the service has no such variable, or its replicas could not be replaced.
        """
        present = self._given(service)
        for name in changes:
            if name not in present:
                raise StackError(
                    f'{service} has no variable "{name}"{meant(name, sorted(present))} '
                    f"(its environment has: {', '.join(sorted(present)) or 'none'})"
                )
        wanted: Variables = {**present, **{name: self._value(value) for name, value in changes.items()}}
        if wanted == present:
            return
        if not self._entries(service):
            self._append(service, 0, present)
        known = {entry["revision"]: entry["variables"] for entry in self._entries(service)}
        same = [number for number, variables in known.items() if variables == wanted]
        self._roll_out(service, same[0] if same else max(known) + 1, wanted)

    def restore(self, service: str, revision: int) -> None:
        """Roll out an earlier revision; again and again if need be.

        Raises:
            StackError: there is no such revision, or the replicas could not be replaced.
        """
        entries = self._entries(service)
        variables = next((e["variables"] for e in entries if e["revision"] == revision), None)
        if variables is None and revision == 0 and not entries:
            variables = self._given(service)
        if variables is None:
            known = ", ".join(str(number) for number in self.history(service))
            raise StackError(f"{service} has no revision {revision} of its configuration (revisions: {known})")
        self._roll_out(service, revision, variables)

    def begin(self) -> None:
        """Forget every revision: the stack starts with what its files say."""
        self._file.unlink(missing_ok=True)

    def _roll_out(self, service: str, revision: int, variables: Variables) -> None:
        def begun() -> None:
            # Before the replicas: whoever has to undo it must know what there was.
            if self.history(service)[-1:] != [revision]:
                self._append(service, revision, variables)

        trouble = self._replace(service, variables, begun)
        if trouble:
            raise StackError(f"revision {revision} of {service}'s configuration could not be rolled out: {trouble}")

    def _entries(self, service: str) -> list[dict[str, Any]]:
        return [entry for entry in read_entries(self._file) if entry["service"] == service]

    def _append(self, service: str, revision: int, variables: Variables) -> None:
        entry = {"service": service, "revision": revision, "variables": variables}
        # Owner only: environments hold secrets.
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "a", encoding="utf-8") as stream:  # noqa: PTH123 - from a descriptor
            stream.write(json.dumps(entry) + "\n")


class ComposeEnvironment(Environments):
    """The configuration of a Compose stack's services."""

    def __init__(self, project: Project) -> None:
        super().__init__(project.folder / "environments.jsonl")
        self._project = project

    def _given(self, service: str) -> Variables:
        document = self._project.read()
        declared = document["services"][self._project.service(service).runs_as].get("environment") or {}
        if isinstance(declared, list):
            pairs = [str(line).partition("=") for line in declared]
            return {name: value if equals else None for name, equals, value in pairs}
        return {str(name): None if value is None else str(value) for name, value in declared.items()}

    def _seen(self, service: str) -> dict[str, Callable[[Variables], bool]]:
        engine = self._project.engine
        found: dict[str, Callable[[Variables], bool]] = {}
        for container in self._project.containers(service):
            if container.running:
                has = dict(line.split("=", 1) for line in engine.inspect(container.id)["Config"]["Env"] if "=" in line)
                found[container.name] = partial(_matches, has)
        return found

    def _replace(self, service: str, variables: Variables, begun: Callable[[], None]) -> str:
        def change(entry: dict[str, Any]) -> None:
            begun()
            entry["environment"] = variables

        return replace_replicas(self._project, service, change)

    def _value(self, text: str) -> str:
        return text.replace("$", "$$")


def _matches(has: Mapping[str, str], variables: Variables) -> bool:
    return all(value is None or has.get(name) == value.replace("$$", "$") for name, value in variables.items())
