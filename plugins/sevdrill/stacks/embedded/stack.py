"""The embedded stack: a team's Compose files, each service a process on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from sevdrill.clock import Clock
from sevdrill.databases import Backups, Databases, Migrations, Rows, Sql, Standbys
from sevdrill.errors import StackError, StackUnhealthy, UsageError
from sevdrill.ports import (
    Admin,
    CrashLoop,
    Endpoints,
    Environment,
    Evidence,
    Exec,
    Ledgers,
    Lifecycle,
    Monitoring,
    Pager,
    Ports,
    Proxies,
    Release,
    Scale,
)
from sevdrill.resources import Files, Hogs, Limits
from sevdrill.stacks.admin import HttpAdmin
from sevdrill.stacks.backups import CommandBackups
from sevdrill.stacks.containers import ComposeLedgers
from sevdrill.stacks.embedded.control import Control, sweep
from sevdrill.stacks.embedded.evidence import EmbeddedEvidence
from sevdrill.stacks.embedded.files import EmbeddedFiles
from sevdrill.stacks.embedded.logs import EmbeddedLogs
from sevdrill.stacks.embedded.model import Site
from sevdrill.stacks.embedded.proxies import BALANCER, PROXIES, EmbeddedProxies
from sevdrill.stacks.embedded.reading import Description, read
from sevdrill.stacks.embedded.releases import EmbeddedReleases
from sevdrill.stacks.embedded.replacing import EmbeddedEnvironment
from sevdrill.stacks.embedded.scaling import EmbeddedScale
from sevdrill.stacks.embedded.services import EmbeddedEndpoints, EmbeddedExec, EmbeddedLifecycle
from sevdrill.stacks.embedded.start import PortTaken, Starter, placed, ports_of
from sevdrill.stacks.embedded.trouble import EmbeddedCrashLoop, EmbeddedHogs, EmbeddedLimits
from sevdrill.stacks.files import given_names
from sevdrill.stacks.loopback import FreePorts
from sevdrill.stacks.migrations import SqlMigrations
from sevdrill.stacks.monitoring import HttpMonitoring
from sevdrill.stacks.postgres import PostgresDatabases
from sevdrill.stacks.safety import refuse_production
from sevdrill.stacks.settings import StackSettings
from sevdrill.telemetry import Logs, Metrics

__all__ = ["EmbeddedConfig", "EmbeddedStack"]

PLACES: dict[str, Any] = {"own": {}, "behind": {}, "published": {}, "api": 0}
"""What of a service is not in the files."""


@dataclass(frozen=True)
class EmbeddedConfig:
    """Which stack: its Compose files in order, its name, and where sevdrill keeps its own files."""

    files: tuple[Path, ...]
    project: str
    state_dir: Path = Path(".sevdrill")
    keep: bool = False
    """Whether it outlives the process that starts it."""
    profiles: tuple[str, ...] = ()
    """Profiles of the files that are on."""


class EmbeddedStack:
    """A staging stack of child processes."""

    kind = "embedded"

    def __init__(self, config: EmbeddedConfig, clock: Clock) -> None:
        """Nothing is started.

        Raises:
            Refused: a name looks like production.
            UsageError: the stack's name has other characters than it may have.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", config.project):
            raise UsageError(f'project "{config.project}": expected lower-case letters, digits, "-" and "_"')
        refuse_production({"project": config.project} | {f"file {n}": f.name for n, f in enumerate(config.files, 1)})
        self._config, self._clock = config, clock
        self._control = Control(config.project, config.state_dir)

    @classmethod
    def attach(cls, descriptor: Mapping[str, Any], clock: Clock) -> Self:
        """The stack that a `descriptor` is of, in any process; the original Compose files are not needed."""
        return cls.named(descriptor["project"], Path(descriptor["state_dir"]), clock)

    def descriptor(self) -> dict[str, Any]:
        """What `attach` needs, as JSON."""
        return {
            "kind": self.kind,
            "project": self.project,
            "state_dir": str(self._config.state_dir.absolute()),
        }

    @classmethod
    def named(cls, project: str, state_dir: Path, clock: Clock) -> Self:
        """A stack that was started under this name."""
        return cls(EmbeddedConfig((), project, state_dir), clock)

    @property
    def project(self) -> str:
        """The stack's name."""
        return self._config.project

    @property
    def title(self) -> str:
        """What it is, in a few words, for the timeline."""
        return f"embedded, project {self.project}"

    @property
    def was_begun(self) -> bool:
        """Whether it was ever started from this folder, as far as that came."""
        return self._control.file.exists()

    def replicas(self) -> dict[str, int]:
        """How many replicas each service of its files has; nothing is started for that."""
        services = self._description.services if self._config.files else self._control.site.services
        return {name: service.replicas for name, service in services.items()}

    def exists(self) -> bool:
        """Whether anything of it is there. That of a runner that died goes by itself: it is waited for."""
        return self._control.alive

    def await_changes(self) -> None:
        """Wait until no change of it is under way: none outlives its runner."""

    def by_hand(self) -> str:
        """What a person types to be rid of every fault, whatever state the stack is in."""
        return f"sevdrill down {self.project}"

    @cached_property
    def _description(self) -> Description:
        return read(self._config.files, self._config.profiles)

    @property
    def settings(self) -> StackSettings:
        """The files' ``x-sevdrill``.

        Raises:
            Refused: it does not say ``target: staging``.
            UsageError: it, or the files, have mistakes.
        """
        return self._description.settings if self._config.files else self._control.site.stack_settings()

    # --- up and down ---

    def up(self) -> None:
        """Start the stack and wait until it is healthy; one that is up is brought back to how it was started.

        Raises:
            Refused: a safety rule says no; nothing was started.
            UsageError: the files have mistakes, or a program is not installed; nothing is left running.
            StackUnhealthy: a service did not become healthy; the text names it and shows its last log lines.
            StackError: it could not be started.
        """
        if not self._config.files:
            raise StackError(f"stack {self.project} was attached to; it can only be started from its Compose files")
        refuse_production({"project": " ".join(given_names(self._config.files))})
        described = self._description
        with self._control.changing():
            for _ in sweep(self._config.state_dir):
                pass
            if self._control.alive and self._mended(described):
                return
            for attempt in range(3):
                try:
                    self._start(described)
                    return
                except PortTaken as error:
                    # Another process was quicker to take a port: with others, once more.
                    self._control.end()
                    if attempt == 2:
                        raise StackUnhealthy(str(error)) from None
                except BaseException:
                    self._control.end()
                    raise

    def _start(self, described: Description) -> None:
        self._control.end()
        folder = self._control.begin()
        site = placed(described, self.project, folder, self._config.keep, FreePorts(ports_of(self._config.state_dir)))
        if any(volume.size for volume in site.volumes.values()):
            site = self._limited(site)
        self._control.write(site)
        Starter(self._control, site).start_all(described.settings.healthy_within)
        self._begin()
        if self._config.keep:
            self._control.keep()

    def _limited(self, site: Site) -> Site:
        """Give volumes their fixed size where the kernel lets us; the site with what came of it."""
        sizes = {}
        for name, volume in site.volumes.items():
            folder = site.folder / "volumes" / name
            folder.mkdir(exist_ok=True)
            if volume.size:
                sizes[str(folder)] = volume.size
        try:
            self._control.call("hold", sizes=sizes)
        except StackError as error:
            return site.model_copy(update={"unlimited": f"volumes of a fixed size cannot be had here: {error}"})
        return site

    def _mended(self, described: Description) -> bool:
        """Bring a stack that is up back to how it was started; False when it must be started anew."""
        site = self._control.site
        same = placed(described, self.project, site.folder, self._config.keep, None)
        if same.model_dump(exclude={"services", "api", "unlimited"}) != site.model_dump(
            exclude={"services", "api", "unlimited"}
        ) or any(
            name not in site.services
            or service.model_copy(update=PLACES) != site.services[name].model_copy(update=PLACES)
            for name, service in same.services.items()
        ):
            return False
        if any(volume.size for volume in site.volumes.values()) and not site.unlimited and not self._control.holder:
            return False
        try:
            Starter(self._control, site).mend(described.settings.healthy_within)
            self._begin()
        except StackError:
            return False
        return True

    def _begin(self) -> None:
        self._releases.begin()
        EmbeddedEnvironment(self._control).begin()

    def is_up(self) -> bool:
        """Whether all of it runs, is healthy where it can tell, and no proxy is faulted."""
        if not self._control.alive:
            return False
        site, known = self._control.site, self._control.status()
        if self._config.profiles and not set(self.replicas()) <= set(site.services):
            return False
        ours = [*([PROXIES] if site.api else []), *([BALANCER] if BALANCER in known else [])]
        if any(name not in known or not known[name].pid for name in ours):
            return False
        if not all(status.untouched for status in known.values()):
            return False
        lifecycle = EmbeddedLifecycle(self._control)
        for name in site.services:
            if any(not r.running or r.paused or r.healthy is False for r in lifecycle.replicas(name)):
                return False
        return not site.api or not EmbeddedProxies(self._control).untouched()

    def down(self) -> None:
        """End the stack's processes and remove its data; one that is not there is no error."""
        with self._control.changing():
            self._control.end()

    # --- for its users ---

    @property
    def _releases(self) -> EmbeddedReleases:
        return EmbeddedReleases(self._control, self.settings, self._clock)

    def ports(self) -> Ports:
        """The capabilities that this stack has."""
        settings, control = self.settings, self._control
        endpoints, commands = EmbeddedEndpoints(control), EmbeddedExec(control)
        monitoring = HttpMonitoring(settings.monitoring, endpoints, self._clock) if settings.monitoring else None
        has: dict[type, object] = {
            Lifecycle: EmbeddedLifecycle(control),
            CrashLoop: EmbeddedCrashLoop(control),
            Scale: EmbeddedScale(control),
            Limits: EmbeddedLimits(control),
            Hogs: EmbeddedHogs(control),
            Exec: commands,
            Logs: EmbeddedLogs(control, self._clock),
            Files: EmbeddedFiles(control),
            Endpoints: endpoints,
            Environment: EmbeddedEnvironment(control),
            Evidence: EmbeddedEvidence(control, monitoring),
        }
        if settings.admin:
            has[Admin] = HttpAdmin(settings.admin, endpoints)
        if settings.proxies:
            has[Proxies] = EmbeddedProxies(control)
        if settings.releases:
            has[Release] = self._releases
        if settings.ledgers:
            has[Ledgers] = ComposeLedgers(commands, settings.ledgers)
        if settings.databases:
            databases = PostgresDatabases(commands, settings.databases)
            has |= dict.fromkeys((Databases, Rows, Sql, Standbys), databases)
            if settings.migrations:
                has[Migrations] = SqlMigrations(commands, databases.ask, settings.migrations)
        if settings.backups:
            has[Backups] = CommandBackups(commands, settings.backups)
        if monitoring is not None:
            has[Monitoring] = monitoring
            if monitoring.delivers:
                has[Pager] = monitoring
        why: dict[type, str] = {}
        if monitoring is not None and monitoring.prometheus:
            missing = self._stands_in(urlsplit(monitoring.prometheus).hostname)
            if missing:
                why[Metrics] = f"{missing} is not installed, and what stands in for it knows no queries"
            else:
                has[Metrics] = monitoring
        if control.file.exists() and control.site.unlimited:
            # To fill a volume without a size of its own is to fill this machine's disk.
            del has[Files]
            why[Files] = control.site.unlimited
        return Ports(has, why)

    def _stands_in(self, service: str | None) -> str:
        """The program that is not installed, when another one stands in for a service's own."""
        if self._config.files:
            services = self._description.services
        elif self._control.file.exists():
            services = self._control.site.services
        else:
            return ""
        return services[service].stands_in if service in services else ""

    def reach(self) -> list[str]:
        """Lines for people: where each port is on loopback, now."""
        lines = []
        for name, service in sorted(self._control.site.services.items()):
            for port, host in service.published.items():
                way = " (through its proxy)" if service.proxy else ""
                lines.append(f"{name}:{port} is at 127.0.0.1:{host}{way}")
            for replica, own in service.own.items():
                lines += [
                    f"{name}:{port} is at 127.0.0.1:{host} ({replica} itself)"
                    for port, host in own.items()
                    if host != service.published[port]
                ]
        return lines
