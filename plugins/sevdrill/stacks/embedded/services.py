"""What an embedded stack can do with its processes: Lifecycle, Exec and Endpoints."""

from __future__ import annotations

import http.client
import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from sevdrill.errors import NotRunning, StackError
from sevdrill.ports import Address, ExecResult, Replica
from sevdrill.stacks.command import wait_until
from sevdrill.stacks.embedded.control import Control, Status
from sevdrill.stacks.embedded.launch import Places
from sevdrill.stacks.embedded.model import HOST, Ready, Site

__all__ = ["EmbeddedEndpoints", "EmbeddedExec", "EmbeddedLifecycle", "Health", "connects"]

LOOK = 1.0
"""Seconds that a replica has to answer when it is asked how it is."""


class Health:
    """Asks a replica itself, at the moment when somebody wants to know."""

    def __init__(self, site: Site, commands: EmbeddedExec) -> None:
        self._site, self._commands = site, commands

    def of(self, name: str, replica: str) -> bool:
        """Whether the replica, which runs, is ready."""
        service = self._site.services[name]
        own = service.own[replica]
        ready = service.process.ready
        if ready is None:
            return self.listens(name, replica)
        if ready.command:
            try:
                return self._commands.in_replica(name, replica, ready.command, LOOK).code == 0
            except StackError:
                return False
        port = own[ready.port] if ready.port else next(iter(own.values()))
        return _answers(port, ready.http) if ready.http else connects(port)

    def listens(self, name: str, replica: str) -> bool:
        """Whether the replica accepts connections on all of its ports."""
        return all(connects(port) for port in self._site.services[name].own[replica].values())

    def tells(self, name: str) -> bool:
        """Whether a replica of the service can tell."""
        service = self._site.services[name]
        return bool(service.ports) or (service.process.ready or Ready()).command != ()


def connects(port: int) -> bool:
    """Whether something accepts connections on a port of this machine's own."""
    try:
        socket.create_connection((HOST, port), LOOK).close()
    except OSError:
        return False
    return True


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=LOOK)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class EmbeddedLifecycle:
    """Kill, stop, pause and start replicas."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def services(self) -> list[str]:
        """Names of the stack's services, as its users wrote them."""
        return sorted(self._control.site.services)

    def replicas(self, service: str) -> list[Replica]:
        """The service's replicas as they are now, running or not."""
        site = self._control.site
        known, health = self._control.status(), Health(site, EmbeddedExec(self._control))
        found = []
        for name in site.service(service).own:
            status = known.get(name)
            running = status is not None and bool(status.pid)
            paused = status is not None and status.paused
            healthy = running and not paused and health.of(service, name) if health.tells(service) else None
            image = site.services[service].image
            found.append(Replica(name, service, running=running, paused=paused, healthy=healthy, image=image))
        return found

    def kill(self, service: str, replicas: Sequence[str]) -> None:
        """End the replicas' processes at once; returns when they are gone.

        Raises:
            StackError: one still runs after five seconds.
        """
        for name in self._chosen(service, replicas):
            self._control.call("kill", name=name)

    def stop(self, service: str, replicas: Sequence[str]) -> None:
        """Ask the replicas to end, give them their grace time, and end them; returns when they are gone."""
        chosen = self._chosen(service, replicas)
        known = self._control.site.service(service)
        for name in chosen:
            self._control.call("thaw", name=name)
            self._control.call("signal", name=name, number=int(signal.Signals[known.stop_signal]))
        wait_until(lambda: not any(self._status(name).pid for name in chosen), within=known.grace)
        for name in chosen:
            self._control.call("kill", name=name)

    def start(self, service: str, replicas: Sequence[str]) -> None:
        """Start replicas that do not run; one that runs is left alone."""
        for name in self._chosen(service, replicas):
            self._control.call("start", name=name)

    def pause(self, service: str, replicas: Sequence[str]) -> None:
        """Freeze the replicas: they keep their connections and answer nothing."""
        for name in self._chosen(service, replicas):
            self._control.call("freeze", name=name)

    def unpause(self, service: str, replicas: Sequence[str]) -> None:
        """Let paused replicas go on; one that is not paused is left alone."""
        for name in self._chosen(service, replicas):
            self._control.call("thaw", name=name)

    def _status(self, name: str) -> Status:
        return self._control.status()[name]

    def _chosen(self, service: str, names: Sequence[str]) -> Sequence[str]:
        present = self._control.site.service(service).own
        missing = [name for name in names if name not in present]
        if missing:
            raise StackError(f"{service} has no replica {', '.join(missing)} (there are: {', '.join(present)})")
        return names


class EmbeddedExec:
    """Run commands as a service would: in its environment and its folder."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def run(self, service: str, command: Sequence[str], *, timeout: float) -> ExecResult:
        """Run an argument list beside one running replica; ``timeout`` in seconds.

        Raises:
            StackError: no replica runs, the program is not there, or the command did not end in time.
        """
        known = self._control.status()
        for replica in self._control.site.service(service).own:
            if replica in known and known[replica].pid and not known[replica].paused:
                return self.in_replica(service, replica, command, timeout)
        raise StackError(f"`{command[0]}` cannot be run in {service}: none of its replicas runs")

    def in_replica(self, service: str, replica: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run an argument list beside this replica."""
        site = self._control.site
        listed = self._control.call("list")
        places = Places(site, listed["holder"] or None)
        release = listed["replicas"][replica]["release"]
        launch = places.launch(service, replica, release, write=False)
        words = [places.text(site.service(service), each) for each in command]
        program = shutil.which(words[0], path=launch["env"]["PATH"])
        if program is None:
            raise StackError(f"`{words[0]}` cannot be run in {service}: there is no such program on its PATH")
        try:
            done = subprocess.run(
                [program, *words[1:]],
                env=launch["env"],
                cwd=launch["cwd"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise StackError(f"`{words[0]}` in {service} did not end within {timeout:g} s and was killed") from None
        except OSError as error:
            raise StackError(f"`{words[0]}` cannot be run in {service}: {os.strerror(error.errno or 0)}") from None
        texts = [stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr)]
        return ExecResult(done.returncode, *texts)


class EmbeddedEndpoints:
    """Where the stack's services are reached on this machine."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._turn = itertools.count()

    def url(self, url: str) -> str:
        """A service's URL, by the way that clients take: through its proxy where there is one.

        Raises:
            StackError: no service of the stack has that name or port, or (past its proxy) none of its replicas runs.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = self._address(parts.hostname or "", port)
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{user}{address.host}:{address.port}"))

    def direct(self, service: str, port: int) -> dict[str, Address]:
        """Each running replica's own address, past any proxy, by replica name."""
        known, found = self._control.status(), {}
        own = self._control.site.service(service).own
        for replica, ports in own.items():
            if replica not in known or not known[replica].pid:
                continue
            if port not in ports:
                raise StackError(f"{service} has no port {port} (it has: {', '.join(map(str, ports)) or 'none'})")
            found[replica] = Address(HOST, ports[port])
        return found

    def _address(self, host: str, port: int) -> Address:
        site = self._control.site
        name, past_proxy = site.named(host)
        service = site.service(name)
        if port not in service.ports:
            known = ", ".join(map(str, service.ports)) or "none"
            raise StackError(f"{name}:{port} cannot be reached: its ports are {known}; list them under expose")
        if not past_proxy and (service.proxy or service.replicas > 1):
            return Address(HOST, service.published[port])
        addresses = list(self.direct(name, port).values())
        if not addresses:
            raise NotRunning(f"{name}:{port} cannot be reached: no replica of {name} runs")
        return addresses[next(self._turn) % len(addresses)]
