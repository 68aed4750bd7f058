"""What a Compose stack can do with its containers: Lifecycle, Exec, Endpoints and Ledgers."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from sevdrill.errors import NotRunning, StackError
from sevdrill.ports import Address, Exec, ExecResult, Replica
from sevdrill.stacks.engine import Container, tail
from sevdrill.stacks.project import Project
from sevdrill.stacks.settings import LedgerSettings

__all__ = ["ComposeEndpoints", "ComposeExec", "ComposeLedgers", "ComposeLifecycle"]

GRACE = 10.0
"""Seconds that a service has to end by itself when its file does not say."""
GONE = 10.0
"""Seconds within which a killed process must be gone."""


class ComposeLifecycle:
    """Kill, stop, pause and start replicas; containers are looked up by label each time, never remembered."""

    def __init__(self, project: Project) -> None:
        self._project, self._engine = project, project.engine

    def services(self) -> list[str]:
        """Names of the stack's services, as its users wrote them."""
        return sorted(self._project.layout.services)

    def replicas(self, service: str) -> list[Replica]:
        """The service's replicas as they are now, running or not."""
        return [
            Replica(
                name=container.name,
                service=service,
                running=container.running,
                paused=container.state == "paused",
                healthy=container.healthy,
                image=container.image,
            )
            for container in self._project.containers(service)
        ]

    def kill(self, service: str, replicas: Sequence[str]) -> None:
        """End the replicas' processes at once; returns when they are gone.

        Raises:
            StackError: one still runs after ten seconds.
        """
        self._end(self._chosen(service, replicas))

    def stop(self, service: str, replicas: Sequence[str]) -> None:
        """Ask the replicas to end, give them their grace time, and end them; returns when they are gone."""
        chosen = self._chosen(service, replicas)
        # Not the engine's own stop, which holds a call for the whole grace time and goes on when it is given up.
        grace = GRACE
        for container in chosen:
            if container.running:
                config = self._engine.inspect(container.id)["Config"]
                grace = GRACE if config.get("StopTimeout") is None else float(config["StopTimeout"])
                self._engine.unpause(container)
                self._engine.signal(container, config.get("StopSignal") or "SIGTERM")
        self._end([container for container in chosen if not self._engine.ended(container, within=grace)])

    def start(self, service: str, replicas: Sequence[str]) -> None:
        """Start replicas that do not run; one that runs is left alone."""
        for container in self._chosen(service, replicas):
            self._engine.start(container)

    def pause(self, service: str, replicas: Sequence[str]) -> None:
        """Freeze the replicas: they keep their connections and answer nothing."""
        for container in self._chosen(service, replicas):
            self._engine.pause(container)

    def unpause(self, service: str, replicas: Sequence[str]) -> None:
        """Let paused replicas go on; one that is not paused is left alone."""
        for container in self._chosen(service, replicas):
            self._engine.unpause(container)

    def _end(self, containers: Sequence[Container]) -> None:
        for container in containers:
            self._engine.signal(container, "SIGKILL")
        for container in containers:
            self._engine.unpause(container)  # a frozen process dies only when it thaws
            if not self._engine.ended(container, within=GONE):
                raise StackError(f"{container.name} was killed {GONE:g} s ago and still runs; look at the engine's log")

    def _chosen(self, service: str, names: Sequence[str]) -> list[Container]:
        present = {container.name: container for container in self._project.containers(service)}
        missing = [name for name in names if name not in present]
        if missing:
            raise StackError(
                f"{service} has no replica {', '.join(missing)} (there are: {', '.join(present) or 'none'}); "
                "it may have been recreated meanwhile: look again"
            )
        return [present[name] for name in names]


class ComposeExec:
    """Run commands inside services."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def run(self, service: str, command: Sequence[str], *, timeout: float) -> ExecResult:
        """Run an argument list in one running replica; ``timeout`` in seconds.

        Raises:
            StackError: no replica runs, or the command did not end in time.
        """
        running = [c for c in self._project.containers(service) if c.state == "running"]
        if not running:
            raise StackError(f"`{command[0]}` cannot be run in {service}: none of its replicas runs")
        done = self._project.engine.docker("exec", running[0].id, *command, timeout=timeout)
        return ExecResult(done.code, done.out, done.err)


class ComposeLedgers:
    """Read back what the load wrote, by the commands that the stack's files give."""

    TIMEOUT = 30.0

    def __init__(self, commands: Exec, ledgers: dict[str, LedgerSettings]) -> None:
        self._commands, self._ledgers = commands, ledgers

    def rows(self, ledger: str) -> list[str]:
        """Every key that the system holds for this ledger, one entry a row.

        Raises:
            StackError: there is no such ledger, or reading it failed: then nothing is known of it.
        """
        try:
            settings = self._ledgers[ledger]
        except KeyError:
            known = ", ".join(sorted(self._ledgers)) or "none"
            raise StackError(f'x-sevdrill.ledgers has no "{ledger}" (it has: {known})') from None
        done = self._commands.run(settings.service, settings.read, timeout=self.TIMEOUT)
        if done.code != 0:
            raise StackError(
                f"ledger {ledger} cannot be read: `{settings.read[0]}` in {settings.service} "
                f"ended with code {done.code}: {tail(done.err or done.out, 5)}"
            )
        return [line.strip() for line in done.out.splitlines() if line.strip()]


class ComposeEndpoints:
    """Where the stack's services are reached from this machine."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._turn = itertools.count()

    def url(self, url: str) -> str:
        """A service's URL, by the way that clients take: through its proxy where there is one.

        Raises:
            StackError: no service of the stack has that name, or none of its replicas runs.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = self._address(parts.hostname or "", port)
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{user}{address.host}:{address.port}"))

    def direct(self, service: str, port: int) -> dict[str, Address]:
        """Each running replica's own address, past any proxy, by replica name."""
        return {c.name: _address(c, port) for c in self._project.containers(service) if c.running}

    def _address(self, host: str, port: int) -> Address:
        service, past_proxy = self._named(host)
        layout = self._project.service(service)
        if not past_proxy and port in layout.published:
            return Address("127.0.0.1", layout.published[port])
        if not past_proxy and layout.proxy:
            known = ", ".join(map(str, layout.published))
            raise StackError(f"{service}:{port} is not reached by its clients: its proxy listens on {known} only")
        addresses = list(self.direct(service, port).values())
        if not addresses:
            raise NotRunning(f"{service}:{port} cannot be reached: no replica of {service} runs")
        return addresses[next(self._turn) % len(addresses)]  # in turn, as the services' own name server does

    def _named(self, host: str) -> tuple[str, bool]:
        """The service that a name leads to inside the stack, and whether it leads past its proxy."""
        layouts = self._project.layout.services
        if host in layouts:
            return host, False
        services = self._project.read()["services"]
        for name, layout in layouts.items():
            for runs_as, past_proxy in ((layout.proxy, False), (layout.runs_as, bool(layout.proxy))):
                networks = (services.get(runs_as) or {}).get("networks") or {}
                aliases = {alias for options in networks.values() for alias in (options or {}).get("aliases") or ()}
                if runs_as and (host in aliases or host == runs_as):
                    return name, past_proxy
        return host, False


def _address(container: Container, port: int) -> Address:
    # Its own address where this machine is on its network: a published port accepts connections for a process that does
    # not listen (the engine's forwarder does), so it would tell a lie to whoever only connects.
    for address, gateway in container.addresses.items():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
            try:
                route.connect((address, port))
            except OSError:
                continue
            if gateway and route.getsockname()[0] == gateway:
                return Address(address, port)
    if port in container.published:
        return Address("127.0.0.1", container.published[port])
    raise StackError(
        f"port {port} of {container.name} cannot be reached from here: it is not published; "
        f"list it under the service's `expose`"
    )
