"""Releases of a Compose stack's services: which runs, which ran, and how another one is deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sevdrill.clock import Clock
from sevdrill.errors import StackError
from sevdrill.stacks.project import Project, read_entries
from sevdrill.stacks.replacing import replace_replicas
from sevdrill.stacks.settings import meant

__all__ = ["ComposeReleases", "History"]


class History:
    """Which releases were deployed, in a file that outlives the run."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file, self._clock = file, clock

    def of(self, service: str) -> list[str]:
        """The service's releases in the order in which they were deployed."""
        return [entry["release"] for entry in self._entries() if entry["service"] == service]

    def begin(self) -> None:
        """Forget everything."""
        self._file.unlink(missing_ok=True)

    def append(self, service: str, release: str, image: str) -> None:
        """Note a deployment."""
        entry = {"service": service, "release": release, "image": image, "at": self._clock.wall().isoformat()}
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def _entries(self) -> list[dict[str, Any]]:
        return read_entries(self._file)


class ComposeReleases:
    """Deploy releases and remember in which order."""

    def __init__(self, project: Project, releases: Mapping[str, Mapping[str, str]], clock: Clock) -> None:
        self._project, self._releases = project, releases
        self._history = History(project.folder / "releases.jsonl", clock)

    def releases(self, service: str) -> dict[str, str]:
        """Known releases of the service, each with its image."""
        return dict(self._releases.get(service, {}))

    def deployed(self, service: str) -> dict[str, str]:
        """The release that each running replica was made from, by replica name; an unknown image by its tag."""
        engine = self._project.engine
        running = [container for container in self._project.containers(service) if container.running]
        # Inspected: the engine's list shows an image's id instead of its name once the name has moved on.
        return {c.name: self._name(service, str(engine.inspect(c.id)["Config"]["Image"])) for c in running}

    def history(self, service: str) -> list[str]:
        """Releases in the order in which they were deployed, the present one last."""
        return self._history.of(service)

    def deploy(self, service: str, release: str) -> None:
        """Replace every replica of the service by one of ``release``; again and again if need be.

        Raises:
            StackError: there is no such release or image, or the replicas could not be replaced.
        """
        known = self.releases(service)
        if release not in known:
            raise StackError(
                f'{service} has no release "{release}"{meant(release, known)} '
                f"(x-sevdrill.releases has: {', '.join(known) or 'none'})"
            )
        if self._project.engine.image_ports(known[release]) is None:
            raise StackError(f"release {release} of {service} cannot be deployed: there is no image {known[release]}")

        def change(entry: dict[str, Any]) -> None:
            entry["image"] = known[release]
            if self.history(service)[-1:] != [release]:
                self._history.append(service, release, known[release])

        trouble = replace_replicas(self._project, service, change)
        if trouble:
            raise StackError(f"release {release} of {service} could not be deployed: {trouble}")

    def begin(self, images: Mapping[str, str]) -> None:
        """Start the history anew with the releases that the stack is started with; ``images`` by service."""
        self._history.begin()
        for service in self._releases:
            self._history.append(service, self._name(service, images[service]), images[service])

    def _name(self, service: str, image: str) -> str:
        named = next((name for name, other in self._releases.get(service, {}).items() if other == image), None)
        if named is not None:
            return named
        _, colon, tag = image.rpartition("/")[2].rpartition(":")
        return tag if colon else "latest"
