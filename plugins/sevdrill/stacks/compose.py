"""The Compose stack: a team's own Compose files, brought up interposed and under a project of their own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from sevdrill.clock import Clock
from sevdrill.databases import Backups, Databases, Migrations, Rows, Sql, Standbys
from sevdrill.errors import EngineUnavailable, Refused, StackError, StackUnhealthy, UsageError
from sevdrill.masking import MASKER
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
    Networks,
    Pager,
    Ports,
    Proxies,
    Release,
    Scale,
)
from sevdrill.resources import Files, Hogs, Limits
from sevdrill.stacks.admin import HttpAdmin
from sevdrill.stacks.backups import CommandBackups
from sevdrill.stacks.containers import ComposeEndpoints, ComposeExec, ComposeLedgers, ComposeLifecycle
from sevdrill.stacks.engine import Engine, tail
from sevdrill.stacks.environment import ComposeEnvironment
from sevdrill.stacks.evidence import ComposeEvidence
from sevdrill.stacks.files import given_names, load_printed, service_names, services_by_profile
from sevdrill.stacks.health import ailments, await_health, describe
from sevdrill.stacks.hogs import ComposeHogs
from sevdrill.stacks.limits import ComposeLimits
from sevdrill.stacks.logs import ComposeLogs
from sevdrill.stacks.loopback import LoopbackPorts
from sevdrill.stacks.migrations import SqlMigrations
from sevdrill.stacks.monitoring import HttpMonitoring
from sevdrill.stacks.networks import ComposeNetworks
from sevdrill.stacks.postgres import PostgresDatabases
from sevdrill.stacks.project import Project
from sevdrill.stacks.proxies import ComposeProxies
from sevdrill.stacks.releases import ComposeReleases
from sevdrill.stacks.rewrite import OWNER, PROJECT, SERVICE, declared_replicas, rewrite, without_ports
from sevdrill.stacks.safety import refuse_production
from sevdrill.stacks.scaling import ComposeCrashLoop, ComposeScale
from sevdrill.stacks.settings import StackSettings, read_settings, without_services
from sevdrill.stacks.volumes import ComposeFiles
from sevdrill.telemetry import Logs, Metrics

__all__ = ["ComposeConfig", "ComposeStack", "service_names"]

FETCH = 900.0
"""Seconds that building or pulling images may take."""
UP = 240.0
"""Seconds that starting the containers may take, with the waits that the files ask for."""
DOWN = 120.0
"""Seconds that removing the stack may take."""


@dataclass(frozen=True)
class ComposeConfig:
    """Which stack: its Compose files in order, the project's name, and where sevdrill keeps its own files."""

    files: tuple[Path, ...]
    project: str
    state_dir: Path = Path(".sevdrill")
    profiles: tuple[str, ...] = ()


class ComposeStack:
    """A staging stack in Docker Compose."""

    def __init__(self, config: ComposeConfig, clock: Clock, *, allow_remote: str | None = None) -> None:
        """Nothing is started, and no engine is asked.

        Raises:
            Refused: a name looks like production.
            UsageError: the project's name is not one that Compose accepts.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", config.project):
            raise UsageError(f'project "{config.project}": expected lower-case letters, digits, "-" and "_"')
        refuse_production({"project": config.project})
        for file in config.files:
            # A link is named by what it leads to as well.
            for path in (file.absolute(), file.resolve()):
                refuse_production({"file": path.name, "folder": path.parent.name})
        self._config, self._clock, self._allow_remote = config, clock, allow_remote
        self._built: set[str] = set()
        self._changed = not config.files

    @classmethod
    def attach(cls, descriptor: Mapping[str, Any], clock: Clock) -> Self:
        """The stack that a `descriptor` is of, in any process; the original Compose files are not needed."""
        config = ComposeConfig((), descriptor["project"], Path(descriptor["state_dir"]))
        stack = cls(config, clock)
        stack._engine = Engine(descriptor["host"])
        return stack

    def descriptor(self) -> dict[str, Any]:
        """What `attach` needs, as JSON."""
        return {
            "kind": "compose",
            "project": self._config.project,
            "file": str(self._project.file),
            "host": self._engine.host,
            "state_dir": str(self._config.state_dir.absolute()),
        }

    @classmethod
    def named(cls, project: str, state_dir: Path, clock: Clock) -> Self:
        """A stack that was started under this name, on this machine's engine."""
        return cls(ComposeConfig((), project, state_dir), clock)

    @property
    def project(self) -> str:
        """The project's name."""
        return self._config.project

    @property
    def was_begun(self) -> bool:
        """Whether it was ever started from this folder, as far as that came."""
        return self._project.exists

    @property
    def title(self) -> str:
        """What it is, in a few words, for the timeline."""
        return f"compose, project {self.project}"

    def exists(self) -> bool:
        """Whether anything of it is there, running or not."""
        return bool(self._engine.containers(self.project))

    def await_changes(self) -> None:
        """Wait until no change of the project is under way, one of a killed runner included.

        Raises:
            StackError: one still is, after a minute.
        """
        with self._project.changing():
            return

    def by_hand(self) -> str:
        """What a person types to be rid of every fault, whatever state the stack is in."""
        label = f"label={PROJECT}={self.project}"
        return f"docker rm -fv $(docker ps -aq --filter {label})"

    @cached_property
    def _engine(self) -> Engine:
        return Engine.locate(self._allow_remote)

    @cached_property
    def _project(self) -> Project:
        return Project(self._engine, self._config.project, self._config.state_dir)

    @cached_property
    def settings(self) -> StackSettings:
        """The files' ``x-sevdrill``.

        Raises:
            Refused: it does not say ``target: staging``.
            UsageError: it, or the files, have mistakes.
        """
        if not self._config.files:
            return self._project.settings()
        return read_settings(self._model.get("x-sevdrill"), self._model.get("services") or {}, self._where)

    @property
    def _owner(self) -> str:
        return str(self._config.state_dir.resolve())

    def replicas(self) -> dict[str, int]:
        """How many replicas of each service the stack's files ask for; no engine is asked.

        Raises:
            UsageError: the files have mistakes.
        """
        return declared_replicas(self._model)

    @property
    def _where(self) -> str:
        return ", ".join(file.name for file in self._config.files)

    @cached_property
    def _model(self) -> dict[str, Any]:
        missing = [str(file) for file in self._config.files if not file.is_file()]
        if missing:
            raise UsageError(
                f"there is no Compose file {', '.join(missing)}; ini key drill_stack names the stack's files"
            )
        files = [part for file in self._config.files for part in ("-f", str(file.absolute()))]
        profiles = [part for profile in self._config.profiles for part in ("--profile", profile)]
        done = self._engine.docker(
            "compose", "--ansi", "never", *files, *profiles, "-p", self._config.project, "config", timeout=60
        )
        if done.code != 0:
            raise UsageError(f"{self._where}: docker compose does not accept it: {tail(done.err)}")
        model = load_printed(done.out)
        MASKER.learn_compose(model)
        # Compose leaves out what belongs to a profile that is not on.
        of_profiles = {name for names in services_by_profile(self._config.files).values() for name in names}
        model["x-sevdrill"] = without_services(model.get("x-sevdrill"), of_profiles - set(model.get("services") or {}))
        return model

    # --- up and down ---

    def up(self) -> None:
        """Start the stack and wait until it is healthy; one that is up is brought back to how it was started.

        Raises:
            Refused: a safety rule says no; nothing was started.
            EngineUnavailable: no engine answers, or there is no Compose v2.
            StackUnhealthy: a service did not become healthy; the text names it and shows its last log lines.
            StackError: it could not be started.
        """
        if not self._config.files:
            raise StackError(
                f"stack {self._config.project} was attached to; it can only be started from its Compose files"
            )
        project, settings = self._config.project, self.settings
        refuse_production({"project": " ".join(given_names(self._config.files))})
        # Once with made-up ports: everything that is refused is refused before anything is touched.
        unknown = without_ports(self._model, settings)
        plain, layout = rewrite(self._model, settings, project, lambda _, port: port, {name: [1] for name in unknown})
        self._engine.check()
        self._refuse_strangers()
        self._refuse_others()
        self._changed = True
        with self._project.changing():
            self._fetch(plain)
            if self._project.exists:
                self._engine.remove_drafts(project)
                # Compose gives up at once on a dependency that is unhealthy, also on one that is getting well again.
                await_health(self._project, settings.healthy_within)
            images = {name: str(plain["services"][where.runs_as]["image"]) for name, where in layout.services.items()}
            self._start({name: self._engine.image_ports(images[name]) or [] for name in unknown})
            # Another run may have been as quick.
            self._refuse_others()
            ailing = await_health(self._project, settings.healthy_within)
            if ailing:
                # What has ended does not become healthy by waiting.
                late = not any(ailment.final for ailment in ailing)
                within = f" within {settings.healthy_within} (x-sevdrill.healthy_within)" if late else ""
                raise StackUnhealthy(f"stack {project} is not healthy{within}\n{describe(self._project, ailing)}")
            proxies = ComposeProxies(self._project)
            for service in proxies.untouched():
                proxies.restart(service)
            ComposeReleases(self._project, settings.releases, self._clock).begin(images)
            ComposeEnvironment(self._project).begin()

    def is_up(self) -> bool:
        """Whether all of it runs, is healthy where it can tell, and no proxy is faulted.

        Raises:
            Refused: a run of another folder uses it.
        """
        if not self._project.exists:
            return False
        self._refuse_others()
        if self._config.profiles and not set(self.replicas()) <= set(self._project.layout.services):
            return False
        return not ailments(self._project) and not ComposeProxies(self._project).untouched()

    def down(self) -> None:
        """Remove the project's containers, networks and volumes; one that is not there is no error.

        Raises:
            Refused: a Compose project of this name exists that sevdrill did not make.
            EngineUnavailable: no engine answers, and there may be something to remove.
        """
        try:
            self._refuse_strangers()
        except EngineUnavailable:
            if self._changed or self._project.exists:
                raise
            return
        with self._project.changing():
            if self._project.exists:
                # Compose is quicker than one container after the other; what it leaves is removed below in any case.
                self._project.compose("down", "-v", "--remove-orphans", "-t", "0", timeout=DOWN, finish=True)
            self._engine.remove(self._config.project)
            for file in self._project.folder.iterdir():
                if file.name != "lock":
                    shutil.rmtree(file) if file.is_dir() else file.unlink()

    def _refuse_strangers(self) -> None:
        strangers = self._engine.strangers(self._config.project)
        if strangers:
            some = ", ".join(sorted(strangers)[:5])
            raise Refused(
                f"a Compose project {self._config.project} exists that no drill made ({some}); "
                "it is never touched: choose another project name"
            )

    def _refuse_others(self) -> None:
        # Locks are files, and each folder has its own: what the containers say is the same for all.
        others = self._engine.owners(self._config.project) - {self._owner}
        if others:
            raise Refused(
                f"the stack {self._config.project} was started by a run that keeps its files in {min(others)}, which "
                "may be using it; choose another project name, or take it down first: "
                f"sevdrill down {self._config.project}"
            )

    def _fetch(self, document: Mapping[str, Any]) -> None:
        """Make sure that every image is on this machine."""
        build, pull = [], []
        for name, service in document["services"].items():
            image, original = service["image"], service["labels"][SERVICE]
            named = "image" in self._model["services"][original]
            missing = self._engine.image_ports(image) is None
            # An image without a name of its own in the files can be refreshed only here; any other by who named it.
            if "build" in service and (missing or not named) and image not in self._built:
                build.append(name)
            elif "build" not in service and missing:
                pull.append(name)
        if (build or pull) and not self._project.exists:
            self._project.write(dict(document))
        for verb, names in (("build", build), ("pull", pull)):
            done = self._project.compose(verb, *names, timeout=FETCH) if names else None
            if done is not None and done.code != 0:
                images = ", ".join(f"{name}: {document['services'][name]['image']}" for name in names)
                what = f"not on this machine are {images}; " if verb == "pull" else ""
                hint = "; build or load what cannot be pulled" if verb == "pull" else ""
                raise StackError(f"{what}`docker compose {verb} {' '.join(names)}` failed{hint}:\n{tail(done.err)}")
        self._built |= {document["services"][name]["image"] for name in build}
        for service, releases in self.settings.releases.items():
            for release, image in releases.items():
                if self._engine.image_ports(image) is not None:
                    continue
                done = self._engine.docker("pull", "-q", image, timeout=FETCH)
                if done.code != 0:
                    raise StackError(
                        f"x-sevdrill.releases.{service}.{release}: image {image} is not on this machine and "
                        f"cannot be pulled ({tail(done.err, 2)}); build it first"
                    )

    def _start(self, exposed: Mapping[str, Sequence[int]]) -> None:
        self._engine.remove_drafts(self._config.project)
        for container in self._engine.containers(self._config.project):
            if container.state == "paused":
                self._engine.unpause(container)
        for attempt in range(3):
            ports = LoopbackPorts(self._engine, self._config.project, self._kept(attempt))
            document, _ = rewrite(self._model, self.settings, self._config.project, ports.pick, exposed)
            for service in document["services"].values():
                service["labels"][OWNER] = self._owner
            self._project.write(document)
            within = UP + self.settings.healthy_within
            done = self._project.compose("up", "-d", "--no-build", "--remove-orphans", timeout=within)
            if done.code == 0:
                return
            if not re.search(r"port is already allocated|address already in use", done.err):
                break  # else another process was quicker to take a port: pick again
        said = f"stack {self._config.project} could not be started: {tail(done.err)}"
        sick = [ailment for ailment in ailments(self._project) if ailment.container is not None]
        if sick:
            raise StackUnhealthy(f"{said}\n{describe(self._project, sick)}")
        raise StackError(said)

    def _kept(self, attempt: int) -> Mapping[str, Any]:
        """Services whose loopback ports are kept: those of a stack that is there."""
        if attempt or not self._project.exists or not self._engine.containers(self._config.project):
            return {}
        services: dict[str, Any] = self._project.read()["services"]
        return services

    # --- for its users ---

    def ports(self) -> Ports:
        """The capabilities that this stack has."""
        settings, project = self.settings, self._project
        endpoints, commands = ComposeEndpoints(project), ComposeExec(project)
        monitoring = HttpMonitoring(settings.monitoring, endpoints, self._clock) if settings.monitoring else None
        has: dict[type, object] = {
            Lifecycle: ComposeLifecycle(project),
            CrashLoop: ComposeCrashLoop(project),
            Scale: ComposeScale(project),
            Limits: ComposeLimits(project),
            Hogs: ComposeHogs(project),
            Exec: commands,
            Logs: ComposeLogs(project, self._clock),
            Files: ComposeFiles(commands),
            Endpoints: endpoints,
            Networks: ComposeNetworks(project),
            Environment: ComposeEnvironment(project),
            Evidence: ComposeEvidence(project, monitoring, self._clock),
        }
        if settings.admin:
            has[Admin] = HttpAdmin(settings.admin, endpoints)
        if settings.proxies:
            has[Proxies] = ComposeProxies(project)
        if settings.releases:
            has[Release] = ComposeReleases(project, settings.releases, self._clock)
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
            if monitoring.prometheus:
                has[Metrics] = monitoring
            if monitoring.delivers:
                has[Pager] = monitoring
        return Ports(has)

    def reach(self) -> list[str]:
        """Lines for people: where each published port is on loopback, now."""
        layout = self._project.layout
        lines = []
        for name, service in sorted(layout.services.items()):
            for port, host in service.published.items():
                way = " (through its proxy)" if service.proxy else ""
                lines.append(f"{name}:{port} is at 127.0.0.1:{host}{way}")
            for container in self._project.containers(name):
                for port, host in container.published.items():
                    if service.published.get(port) != host:
                        lines.append(f"{name}:{port} is at 127.0.0.1:{host} ({container.name} itself)")
        return lines
