"""Starting an embedded stack: ports are picked, then each service is started once those it waits for are there."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from sevdrill.errors import StackError, StackUnhealthy
from sevdrill.stacks.command import tail
from sevdrill.stacks.embedded.control import FILE, Control, Status
from sevdrill.stacks.embedded.launch import Places
from sevdrill.stacks.embedded.model import Site
from sevdrill.stacks.embedded.proxies import BALANCER, PROXIES, EmbeddedProxies, balancer, proxies
from sevdrill.stacks.embedded.reading import Description
from sevdrill.stacks.embedded.services import EmbeddedExec, Health
from sevdrill.stacks.loopback import FreePorts
from sevdrill.units import Bytes, Duration

__all__ = ["PortTaken", "Starter", "placed", "ports_of"]

LOOK_EVERY = 0.03
"""Seconds between two looks at a stack that starts."""
TAKEN = re.compile(r"address already in use|Address in use|EADDRINUSE", re.IGNORECASE)
LONGEST = 300
"""Characters of a line of a log that are shown."""
ROOM = 16 << 20
"""Bytes that the temporary folder has at least, or its lack of room is the likely cause of any trouble."""
OLD = 0.5
"""Seconds that a service without ports must have run, to be told from one that ends at once."""


class PortTaken(StackError):
    """Another process took a port between the look and the start."""


def placed(described: Description, project: str, folder: Path, keep: bool, ports: FreePorts | None) -> Site:
    """The described stack in its place; without ``ports``, as far as that goes without any."""

    def another() -> int:
        return ports.another() if ports is not None else 0

    services = {}
    api = another() if any(service.proxy for service in described.services.values()) else 0
    for name, service in described.services.items():
        own = {f"{name}-{n}": {port: another() for port in service.ports} for n in range(1, service.replicas + 1)}
        only = next(iter(own.values()))
        behind = only if service.replicas == 1 else {port: another() for port in service.ports}
        published = {port: another() if port in service.faulted else behind[port] for port in service.ports}
        services[name] = service.model_copy(update={"own": own, "behind": behind, "published": published, "api": api})
    return Site(
        project=project,
        root=described.root,
        where=described.where,
        folder=folder,
        keep=keep,
        settings=described.raw,
        services=services,
        volumes=described.volumes,
        api=api,
    )


def ports_of(state_dir: Path) -> set[int]:
    """Ports of every embedded stack here: a replica that was killed needs its own again."""
    found: set[int] = set()
    for file in (state_dir / "stacks").glob(f"*/{FILE}"):
        try:
            services = json.loads(file.read_text(encoding="utf-8"))["site"]["services"].values()
        except (OSError, ValueError, KeyError):
            continue
        for service in services:
            for ports in (service["behind"], service["published"], *service["own"].values()):
                found |= set(ports.values())
    return found


class Starter:
    """Starts what does not run of a stack, in the order in which services wait for each other."""

    def __init__(self, control: Control, site: Site) -> None:
        self._control, self._site = control, site
        self._places = Places(site, control.holder)
        self._health = Health(site, EmbeddedExec(control))

    def start_all(self, within: Duration) -> None:
        """Start everything, and wait until it is healthy.

        Raises:
            StackUnhealthy: a service ended, or is not healthy in time.
            PortTaken: it ended because another process has its port.
            UsageError: a program or package is not there.
            StackError: something could not be started.
        """
        for volume in self._site.volumes:
            (self._site.folder / "volumes" / volume).mkdir(exist_ok=True)
        for name, spec in ((BALANCER, balancer(self._site)), (PROXIES, proxies(self._site))):
            if spec is not None:
                self._control.call("start", name=name, spec=spec)
        # Every launch is worked out before the first start: a program that is missing shows at once.
        specs = {
            replica: self._places.launch(name, replica, self._site.services[name].release)
            for name, replica in self._site.replicas()
        }
        started: set[str] = set()
        healthy: set[str] = set()
        deadline = time.monotonic() + within
        while len(healthy) < len(specs):
            for replica in list(self._free(started, healthy)):
                self._start(replica, specs[replica])
                started.add(replica)
            known = self._control.status()
            self._refuse_ended(known)
            for name, replica in self._site.replicas():
                if replica in started - healthy and self._well(name, replica, known[replica]):
                    healthy.add(replica)
            if time.monotonic() > deadline:
                raise StackUnhealthy(self._late(started, healthy, within))
            time.sleep(LOOK_EVERY)
        self._await_proxies(deadline)

    def _await_proxies(self, deadline: float) -> None:
        while self._site.api:
            # Looked at first: where the proxies' port was taken, another process is what answers or is silent there.
            self._refuse_ended(self._control.status())
            if not EmbeddedProxies(self._control).untouched():
                return
            if time.monotonic() > deadline:
                raise StackUnhealthy(self._ailing(PROXIES, "does not answer"))
            time.sleep(LOOK_EVERY)

    def mend(self, within: Duration) -> None:
        """Bring a stack that is up back to how it was started.

        Raises:
            StackError: that did not do.
        """
        known = self._control.status()
        for name in (PROXIES, BALANCER):
            if name in known:
                self._control.call("start", name=name)
        for name, replica in self._site.replicas():
            release = self._site.services[name].release
            launch = self._places.launch(name, replica, release)
            self._control.call("thaw", name=replica)
            self._control.call("free", name=replica)
            if known[replica].release != release or known[replica].variables != launch["variables"]:
                self._control.call("kill", name=replica)
            self._control.call("start", name=replica, spec=launch)
        todo = set(self._site.replicas())
        deadline = time.monotonic() + within
        while todo:
            known = self._control.status()
            self._refuse_ended(known)
            todo = {(name, replica) for name, replica in todo if not self._well(name, replica, known[replica])}
            if time.monotonic() > deadline:
                raise StackUnhealthy(self._late({r for _, r in self._site.replicas()}, set(), within))
            time.sleep(LOOK_EVERY)
        faulted = EmbeddedProxies(self._control).untouched() if self._site.api else {}
        if faulted:
            EmbeddedProxies(self._control).restart(next(iter(faulted)))

    def _start(self, replica: str, spec: dict[str, object]) -> None:
        try:
            self._control.call("start", name=replica, spec=spec)
        except StackError as error:
            raise StackUnhealthy(f"service {replica.rpartition('-')[0]}: {error}") from None

    def _free(self, started: set[str], healthy: set[str]) -> Iterator[str]:
        """Replicas that can be started now."""
        for name, replica in self._site.replicas():
            waits = self._site.services[name].waits_for.items()
            if replica not in started and all(
                set(self._site.services[other].own) <= (healthy if wait == "service_healthy" else started)
                for other, wait in waits
            ):
                yield replica

    def _well(self, name: str, replica: str, status: Status) -> bool:
        if not status.pid or status.paused:
            return False
        if not self._health.tells(name):
            return time.time() - status.since > OLD
        return self._health.of(name, replica)

    def _refuse_ended(self, known: dict[str, Status]) -> None:
        for replica, status in known.items():
            if status.code is None:
                continue
            how = f"ended with code {status.code}" if status.code >= 0 else f"was ended by signal {-status.code}"
            said = self._ailing(replica, f"{how} while the stack started")
            raise (PortTaken if TAKEN.search(self._log(replica)) else StackUnhealthy)(said)

    def _late(self, started: set[str], healthy: set[str], within: Duration) -> str:
        late = [replica for _, replica in self._site.replicas() if replica not in healthy]
        # Those that only wait for another one are not the cause.
        lines = [self._ailing(replica, "runs, and is not healthy") for replica in late if replica in started]
        return f"stack {self._site.project} is not healthy within {within} (x-sevdrill.healthy_within)\n" + "\n".join(
            lines
        )

    def _ailing(self, replica: str, how: str) -> str:
        service = replica.rpartition("-")[0] or replica
        lines = [f"service {service}: {replica} {how}; its log ends with"]
        # A line may be anything, and of any length.
        said = (
            "".join(c if c.isprintable() else " " for c in line) for line in tail(self._log(replica), 10).split("\n")
        )
        lines += [f"    | {line[:LONGEST].rstrip()}" for line in said]
        free = shutil.disk_usage(self._site.folder).free
        if free < ROOM:
            lines.append(
                f"only {Bytes(free)} are free in {self._site.folder.parent}, where its data is: make room there, "
                "or set TMPDIR to another folder"
            )
        return "\n".join(lines)

    def _log(self, replica: str) -> str:
        file = self._site.folder / "logs" / f"{replica}.log"
        try:
            return file.read_text(encoding="utf-8", errors="replace")[-10_000:]
        except OSError:
            return ""
