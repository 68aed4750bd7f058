"""Releases of an embedded stack's services: which runs, which ran, and how another one is deployed."""

from __future__ import annotations

from sevdrill.clock import Clock
from sevdrill.errors import StackError
from sevdrill.stacks.embedded.control import Control
from sevdrill.stacks.embedded.replacing import replace_replicas
from sevdrill.stacks.releases import History
from sevdrill.stacks.settings import StackSettings, meant

__all__ = ["EmbeddedReleases"]


class EmbeddedReleases:
    """Deploy releases, replica by replica, and remember in which order."""

    def __init__(self, control: Control, settings: StackSettings, clock: Clock) -> None:
        self._control, self._releases = control, settings.releases
        self._history = History(control.place / "releases.jsonl", clock)

    def releases(self, service: str) -> dict[str, str]:
        """Known releases of the service, each with its image."""
        return dict(self._releases.get(service, {}))

    def deployed(self, service: str) -> dict[str, str]:
        """The release that each running replica was made from, by replica name."""
        known = self._control.status()
        own = self._control.site.service(service).own
        return {name: known[name].release for name in own if name in known and known[name].pid}

    def history(self, service: str) -> list[str]:
        """Releases in the order in which they were deployed, the present one last."""
        return self._history.of(service)

    def deploy(self, service: str, release: str) -> None:
        """Replace every replica of the service by one of ``release``; again and again if need be.

        Raises:
            StackError: there is no such release, or the replicas could not be replaced.
        """
        known = self.releases(service)
        if release not in known:
            raise StackError(
                f'{service} has no release "{release}"{meant(release, known)} '
                f"(x-sevdrill.releases has: {', '.join(known) or 'none'})"
            )
        with self._control.changing():
            if self.history(service)[-1:] != [release]:
                self._history.append(service, release, known[release])
            replace_replicas(self._control, service, release)

    def begin(self) -> None:
        """Start the history anew with the releases that the stack is started with."""
        self._history.begin()
        for service in self._releases:
            known = self._control.site.service(service)
            self._history.append(service, known.release, known.image)
