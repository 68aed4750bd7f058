"""What kinds may ask of a stack: one small Protocol a capability, and the Protocol is the capability's name.

A fault, action, probe or check says which ports it needs; a stack says which it has. The difference is known when the
drill is planned, and skips the drill with the reason. Nothing here names a vendor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sevdrill.errors import Unsupported
from sevdrill.lines import Interval, Users

__all__ = [
    "Address",
    "Admin",
    "Alert",
    "CrashLoop",
    "Endpoints",
    "Environment",
    "Evidence",
    "Exec",
    "ExecResult",
    "Ledger",
    "Ledgers",
    "Lifecycle",
    "Load",
    "LoadWindow",
    "Membership",
    "Monitoring",
    "Networks",
    "Page",
    "Pager",
    "Ports",
    "Proxies",
    "Reading",
    "Release",
    "Replica",
    "Scale",
    "Undos",
]

P = TypeVar("P")


@dataclass(frozen=True)
class Reading:
    """What one look at the stack found. ``ok`` is None when the look itself failed: unknown, which is never good."""

    ok: bool | None
    why: str = ""
    """What was seen, for people; always there when ``ok`` is not True."""
    value: float | None = None
    users: Users | None = None
    """What the load's users saw, where it was they that were asked."""


@dataclass(frozen=True)
class Replica:
    """One running instance of a service, as it is now; names change when a replica is recreated."""

    name: str
    service: str
    running: bool
    paused: bool = False
    healthy: bool | None = None
    """None when the service has no health check."""
    image: str = ""


class Lifecycle(Protocol):
    """Kill, stop, pause and start the replicas of a service."""

    def services(self) -> list[str]:
        """Names of the stack's services, as its users wrote them."""

    def replicas(self, service: str) -> list[Replica]:
        """The service's replicas as they are now, running or not."""

    def kill(self, service: str, replicas: Sequence[str]) -> None:
        """End the replicas' processes at once, as a crash would."""

    def stop(self, service: str, replicas: Sequence[str]) -> None:
        """Ask the replicas to end, and end them."""

    def start(self, service: str, replicas: Sequence[str]) -> None:
        """Start replicas that do not run; one that runs is left alone."""

    def pause(self, service: str, replicas: Sequence[str]) -> None:
        """Freeze the replicas: they keep their connections and answer nothing."""

    def unpause(self, service: str, replicas: Sequence[str]) -> None:
        """Let paused replicas go on; one that is not paused is left alone."""


class CrashLoop(Protocol):
    """Let a service die at each of its starts, and be started again each time, as whoever runs services does."""

    def begin(self, service: str) -> None:
        """End every replica as a crash would, and from now on at each of its starts; again and again if need be."""

    def end(self, service: str) -> None:
        """Let every replica start and live again, and start it; one that does not crash is only started."""

    def deaths(self, service: str) -> dict[str, int | None]:
        """How often each replica died at a start since it was made to; None for one that was not, by replica name."""


class Scale(Protocol):
    """Give a service more replicas, or fewer."""

    def scale(self, service: str, replicas: int) -> None:
        """Have so many replicas run, which need not be ready yet; again and again if need be.

        Raises:
            StackError: the service cannot have so many, or they could not be started or removed.
        """


@dataclass(frozen=True)
class ExecResult:
    """What a command in a service printed, and how it ended."""

    code: int
    out: str
    err: str


class Exec(Protocol):
    """Run a command inside a service."""

    def run(self, service: str, command: Sequence[str], *, timeout: float) -> ExecResult:
        """Run an argument list (never a shell string) in one running replica; ``timeout`` in seconds.

        Raises:
            StackError: no replica runs, or the command did not end in time.
        """


@dataclass(frozen=True)
class Address:
    """Where something listens, as seen from the runner."""

    host: str
    port: int


class Endpoints(Protocol):
    """Turn the names that services use for each other into addresses that the runner can reach."""

    def url(self, url: str) -> str:
        """A service's URL, by the way that clients take (through the proxy where there is one)."""

    def direct(self, service: str, port: int) -> dict[str, Address]:
        """Each running replica's own address, past any proxy, by replica name."""


class Proxies(Protocol):
    """Network faults between a service and its clients, by a proxy that stands between them."""

    def set_toxic(
        self, service: str, name: str, kind: str, stream: str, toxicity: float, attributes: Mapping[str, int]
    ) -> None:
        """Add a toxic to every proxied port of the service."""

    def remove_toxic(self, service: str, name: str) -> None:
        """Take a toxic away; one that is not there is no error."""

    def toxics(self, service: str) -> dict[str, list[str]]:
        """Names of the toxics on each proxied port of the service."""

    def set_down(self, service: str, *, down: bool) -> None:
        """Refuse all connections to the service, or accept them again."""

    def down(self, service: str) -> dict[str, bool]:
        """Whether each proxied port of the service refuses connections."""


@dataclass(frozen=True)
class Membership:
    """A replica's place on one network."""

    aliases: Sequence[str] = ()
    """Names that lead to it there."""
    address: str = ""
    """Its address there; another one after it was connected anew, unless it is ``fixed``."""
    fixed: bool = False
    """Whether the address was given to it on purpose."""


class Networks(Protocol):
    """Take the replicas of a service off their networks and put them back, past any proxy."""

    def memberships(self, service: str) -> dict[str, dict[str, Membership]]:
        """The networks that each replica is on now, by replica name and network name."""

    def declared(self, service: str) -> dict[str, Membership]:
        """The networks that the stack's files put the service on, with the names that must lead to it there."""

    def disconnect(self, service: str, replica: str, network: str) -> None:
        """Take a replica off a network; one that is not on it is left alone."""

    def connect(self, service: str, replica: str, network: str, place: Membership) -> None:
        """Put a replica on a network under every alias; one that is there without one of them is put there anew."""


class Release(Protocol):
    """Deploy releases of a service and tell which one runs."""

    def releases(self, service: str) -> dict[str, str]:
        """Known releases of the service, each with its image."""

    def deployed(self, service: str) -> dict[str, str]:
        """The release that each running replica was made from, by replica name."""

    def history(self, service: str) -> list[str]:
        """Releases in the order in which they were deployed, the present one last."""

    def deploy(self, service: str, release: str) -> None:
        """Replace every replica of the service by one of ``release``."""


class Environment(Protocol):
    """Configuration of services as it is rolled out: environments by number. Their values stay with the stack."""

    def variables(self, service: str) -> list[str]:
        """Names of the variables that the service is configured by."""

    def history(self, service: str) -> list[int]:
        """Revisions in the order in which they were rolled out, the present one last; 0 is how the stack started."""

    def running(self, service: str) -> dict[str, int]:
        """The revision whose values each running replica really has, by replica name; -1 is none that is known."""

    def configure(self, service: str, changes: Mapping[str, str]) -> None:
        """Roll out changed values as the next revision, to every replica.

        Raises:
            StackError: the service has no such variable, or its replicas could not be replaced.
        """

    def restore(self, service: str, revision: int) -> None:
        """Roll out an earlier revision, to every replica.

        Raises:
            StackError: there is no such revision, or the replicas could not be replaced.
        """


class Admin(Protocol):
    """Settings of a service that its operators change while it runs: flags, limits, breakers, keys."""

    def settings(self, service: str) -> dict[str, dict[str, str]]:
        """The settings in effect now on each running replica, by replica name and setting."""

    def change(self, service: str, setting: str, value: str, replicas: Sequence[str] | None = None) -> None:
        """Change a setting on every running replica, or on those of these that run.

        Raises:
            StackError: a replica does not answer, or refuses; the text says what it said.
        """


@dataclass(frozen=True)
class LoadWindow:
    """What users saw during a window of time."""

    requests: int
    failures: int
    p95: float | None
    """95th percentile of response times, in seconds; None when there was no request."""

    @property
    def error_rate(self) -> float | None:
        """Share of failed requests, 0 to 1; None when there was no request."""
        return self.failures / self.requests if self.requests else None


@dataclass(frozen=True)
class Ledger:
    """The load generator's own notes of what it wrote."""

    attempted: frozenset[str]
    acknowledged: frozenset[str]


class Load(Protocol):
    """The users: they send requests all through the drill and note what they were told."""

    @property
    def users(self) -> int:
        """How many users there are as a rule."""

    @property
    def folder(self) -> Path:
        """Where the load generator keeps its files, and is asked for more users (`sevdrill.surges`)."""

    def start(self) -> None:
        """Let the users begin; returns when the first request has ended.

        Raises:
            StackError: no request was sent in time.
        """

    def stop(self) -> None:
        """Let every user finish the request at hand, and stop; no error when stopped already."""

    def window(self, over: float) -> LoadWindow:
        """Requests that ended in the last ``over`` seconds."""

    def failures(self) -> dict[str, tuple[int, int]]:
        """Requests so far, and how many of them failed, by what they ask for."""

    def ledger(self, name: str) -> Ledger:
        """What the load generator noted under this name so far."""


class Ledgers(Protocol):
    """Read back, from where the system keeps it, what the load generator wrote."""

    def rows(self, ledger: str) -> list[str]:
        """Every key that the system holds for this ledger, one entry a row (a key twice if it is there twice)."""


@dataclass(frozen=True)
class Alert:
    """An alert that fires now."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """One delivery of the alerting to the pager."""

    id: int
    kind: str
    """``page`` wakes someone, ``ticket`` can wait."""
    status: str
    """``firing`` or ``resolved``."""
    alerts: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


class Monitoring(Protocol):
    """The stack's own monitoring: what it raises."""

    def alive(self) -> tuple[bool, str]:
        """Whether rules are evaluated and delivered right now, and how that is known."""

    def alerts(self) -> list[Alert]:
        """The alerts that fire now, not silenced, not inhibited."""


class Pager(Protocol):
    """What the stack's alerting delivered; many a stack has a pager that nobody can read."""

    def pages(self, since: int) -> list[Page]:
        """Deliveries after the one with the id ``since``."""


class Undos(Protocol):
    """What this drill has broken and switched, and has not put back yet."""

    def faults(self) -> list[str]:
        """Faults that are not proved undone, in few words each."""

    def heal(self) -> None:
        """Undo every fault, the last one first, and prove it.

        Raises:
            UndoError: one could not be undone; the stack is dirty.
        """

    def repeat(self) -> str:
        """Inject the drill's last fault once more, journalled anew; its title.

        Raises:
            FaultError: it cannot be injected into the stack as it is now.
        """

    def steps(self, action: str) -> list[str]:
        """Reverting steps of this kind that are not proved undone, in few words each."""

    def revert(self, action: str) -> None:
        """Undo every reverting step of this kind, the last one first, and prove it.

        Raises:
            UndoError: one could not be undone; the stack is dirty.
        """


class Evidence(Protocol):
    """Logs and state of the stack, for the review."""

    def collect(self, folder: Path, since: Interval) -> list[Path]:
        """Write logs and state since a moment (monotonic seconds) into ``folder``."""


class Ports:
    """The capabilities that are at hand in a run, looked up by their Protocol: ``ports[Lifecycle]``."""

    def __init__(self, ports: Mapping[type, object], why_not: Mapping[type, str] | None = None) -> None:
        """``why_not`` says of capabilities that are missing why that is so, where it can be said."""
        self._ports, self._why_not = dict(ports), dict(why_not or {})

    def __getitem__(self, port: type[P]) -> P:
        try:
            return self._ports[port]  # type: ignore[return-value]  # the mapping is from a Protocol to its implementation
        except KeyError:
            raise Unsupported(f"this stack has no capability {port.__name__}{self.why_not(port)}") from None

    def __contains__(self, port: type) -> bool:
        return port in self._ports

    def with_(self, ports: Mapping[type, object]) -> Ports:
        """These ports and more."""
        return Ports({**self._ports, **ports}, self._why_not)

    def why_not(self, port: type) -> str:
        """Why a capability is missing, to be put behind its name; empty where nothing is known of that."""
        return f" ({self._why_not[port]})" if port in self._why_not else ""

    @property
    def names(self) -> list[str]:
        """Names of the capabilities, sorted."""
        return sorted(port.__name__ for port in self._ports)
