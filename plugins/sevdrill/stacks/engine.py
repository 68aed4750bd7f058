"""The container engine: ``docker compose`` as a command, and the Docker SDK for single containers.

Every call has a time limit, and none holds the engine for long: a call that was given up goes on inside the engine, and
one that ends after the undo would break the stack again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sevdrill.errors import EngineUnavailable, Refused, StackError
from sevdrill.stacks.command import POLL, Finished, run, tail, wait_until
from sevdrill.stacks.removing import remove_labelled
from sevdrill.stacks.rewrite import OWNER, PROJECT, ROLE, SERVICE

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Container", "Engine", "Finished", "tail", "wait_until"]

SDK_TIMEOUT = 20
"""Seconds that one SDK call may take."""
BETWEEN_CHECKS = 3.0
"""Seconds to wait at most for a moment between two health checks."""
UNPAUSE = 5.0
"""Seconds after which an unpause does not end by itself any more; it takes some hundredths."""
UNWEDGE = 60.0
"""Seconds that the engine may take to kill a container that it cannot thaw."""
REMOVED_WITHIN = 20.0
"""Seconds that a container or network may go on holding what is to be removed."""
PING = 3
"""Seconds that an engine which fell silent has to answer before it is asked anything again."""


@dataclass(frozen=True)
class Container:
    """One container of the project, as the engine lists it now."""

    id: str
    name: str
    service: str
    """The service that it belongs to, as users wrote it."""
    is_proxy: bool
    state: str
    """``created``, ``running``, ``paused``, ``restarting``, ``removing``, ``exited`` or ``dead``."""
    status: str
    """The engine's sentence on it, such as ``Up 3 seconds (healthy)``."""
    image: str
    published: Mapping[int, int] = field(default_factory=dict)
    """Loopback port of each published TCP port; empty while it does not run."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Its own addresses, each with the gateway of the network that it is on."""

    @property
    def draft(self) -> bool:
        """Whether Compose has made it to take another one's place, and not yet (or never) put it there."""
        return re.match(r"[0-9a-f]{12}_", self.name) is not None

    @property
    def running(self) -> bool:
        """Whether its processes exist; a paused container's do."""
        return self.state in ("running", "paused")

    @property
    def healthy(self) -> bool | None:
        """What its health check says; None where it has none."""
        if "(healthy)" in self.status:
            return True
        return False if "(unhealthy)" in self.status or "(health: starting)" in self.status else None


class Engine:
    """One container engine, at ``host`` (an address as in ``DOCKER_HOST``)."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._silent = False

    @classmethod
    def locate(cls, allow_remote: str | None = None) -> Engine:
        """The engine that the docker command uses.

        Raises:
            EngineUnavailable: there is no docker command.
            Refused: the engine is not on this machine, and ``allow_remote`` does not name it.
        """
        host = os.environ.get("DOCKER_HOST") or ""
        if not host:
            found = run(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], timeout=20)
            if found.code != 0:
                raise EngineUnavailable(f"the docker command cannot say which engine it uses: {tail(found.err)}")
            host = found.out.strip()
        is_allowed = bool(allow_remote) and allow_remote in (host, urlsplit(host).hostname)
        if urlsplit(host).scheme not in ("unix", "npipe") and not is_allowed:
            raise Refused(
                f"the container engine is {host}, not on this machine; drills break what runs there. "
                f"If that is meant, allow it by name: --drill-allow-remote {urlsplit(host).hostname or host}"
            )
        return cls(host)

    def check(self) -> None:
        """Make sure that the engine answers and that Compose v2 is there.

        Raises:
            EngineUnavailable: one of the two is not so; the text says what to do.
        """
        try:
            server = self.docker("version", "--format", "{{.Server.Version}}", timeout=SDK_TIMEOUT)
        except EngineUnavailable:
            raise
        except StackError:
            self._silent = True
            raise EngineUnavailable(self._silence()) from None
        if server.code != 0:
            raise EngineUnavailable(
                f"no container engine answers at {self.host}: {tail(server.err)}\n"
                "Start it, and see that you may use it; on Debian, docker.io and docker-compose (v2) are the packages"
            )
        compose = self.docker("compose", "version", "--short", timeout=20)
        version = compose.out.strip().lstrip("v")
        if compose.code != 0 or not version[:1].isdigit() or int(version.split(".")[0]) < 2:
            raise EngineUnavailable(
                f"docker compose (v2) is wanted, but `docker compose version` says: {tail(compose.out + compose.err)}\n"
                "Install Docker's compose plugin; the old docker-compose v1 cannot run drills"
            )

    def _silence(self, seconds: float = SDK_TIMEOUT) -> str:
        return f"the engine at {self.host} did not answer within {seconds:g} s; look at its log, or restart it"

    def docker(self, *command: str, timeout: float, fds: Sequence[int] = (), finish: bool = False) -> Finished:
        """Run the docker command on this engine; ``timeout`` in seconds, ``fds`` stay open in the child.

        With ``finish`` a Ctrl-C is heard only when the command has ended: it must not be left halfway.

        Raises:
            StackError: it did not end in time.
            EngineUnavailable: there is no docker command.
        """
        return run(["docker", *command], timeout=timeout, host=self.host, fds=fds, finish=finish)

    @property
    def _sdk(self) -> DockerClient:
        if self._silent:
            # Whoever waits the whole time at every call keeps people waiting for minutes.
            self._ping()
        return self._client

    def _ping(self) -> None:
        import docker
        import requests

        try:
            with contextlib.closing(docker.APIClient(base_url=self.host, timeout=PING, version="1.41")) as api:
                api.ping()
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise EngineUnavailable(self._silence(PING)) from error
        self._silent = False

    @cached_property
    def _client(self) -> DockerClient:
        import docker

        with self._errors("the engine cannot be used"):
            return docker.DockerClient(base_url=self.host, timeout=SDK_TIMEOUT, version="auto")

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        import docker.errors
        import requests

        try:
            yield
        except docker.errors.APIError as error:
            raise StackError(f"{what}: the engine answered {error.explanation or error}") from error
        except docker.errors.DockerException as error:
            # The client asks for the version by itself, and wraps what becomes of that.
            if isinstance(error.__context__, requests.Timeout):
                self._silent = True
                raise EngineUnavailable(f"{what}: {self._silence()}") from error
            raise EngineUnavailable(f"{what}: no container engine answers at {self.host}: {error}") from error
        except requests.Timeout as error:
            self._silent = True
            raise EngineUnavailable(f"{what}: {self._silence()}") from error
        except requests.RequestException as error:
            raise EngineUnavailable(f"{what}: the engine at {self.host} cannot be reached: {error}") from error

    def containers(self, project: str) -> list[Container]:
        """Every container that carries the project's label, running or not, sorted by name; one engine call."""
        with self._errors(f"containers of {project} cannot be listed"):
            # Both labels: one alone may have been copied with a file that is not ours.
            labels = [
                f"{PROJECT}={project}",
                f"com.docker.compose.project={project}",
                "com.docker.compose.oneoff=False",
            ]
            listed = self._sdk.api.containers(all=True, filters={"label": labels})
        return sorted((_container(entry) for entry in listed), key=lambda container: container.name)

    def strangers(self, project: str) -> list[str]:
        """Containers and volumes of a Compose project of this name that sevdrill did not make."""
        label = f"com.docker.compose.project={project}"
        with self._errors(f"project {project} cannot be looked at"):
            entries = self._sdk.api.containers(all=True, filters={"label": label})
            names = [str(entry["Names"][0]).lstrip("/") for entry in entries if PROJECT not in (entry["Labels"] or {})]
            volumes = self._sdk.api.volumes(filters={"label": label})["Volumes"] or ()
        return names + [str(volume["Name"]) for volume in volumes if PROJECT not in (volume["Labels"] or {})]

    def owners(self, project: str) -> set[str]:
        """The folders of the runs that started this project's containers, as far as those say."""
        with self._errors(f"project {project} cannot be looked at"):
            entries = self._sdk.api.containers(all=True, filters={"label": f"{PROJECT}={project}"})
        return {str(entry["Labels"][OWNER]) for entry in entries if OWNER in (entry["Labels"] or {})}

    def fixed_ports(self, *, other_than: str) -> set[int]:
        """Host ports that other projects of sevdrill use, or will use again when their containers are started."""
        found: set[int] = set()
        with self._errors("ports of other drill stacks cannot be read"):
            for entry in self._sdk.api.containers(all=True, filters={"label": PROJECT}):
                if entry["Labels"][PROJECT] == other_than:
                    continue
                with contextlib.suppress(StackError):  # it may have gone meanwhile
                    bindings = self.inspect(entry["Id"])["HostConfig"]["PortBindings"] or {}
                    found |= {int(b["HostPort"]) for bound in bindings.values() for b in bound or () if b["HostPort"]}
        return found

    def inspect(self, container: str) -> dict[str, Any]:
        """Everything that the engine knows of a container."""
        with self._errors(f"container {container} cannot be inspected"):
            found: dict[str, Any] = self._sdk.api.inspect_container(container)
            return found

    def image_ports(self, image: str) -> list[int] | None:
        """TCP ports that an image exposes; None when the image is not on this machine."""
        import docker.errors

        with self._errors(f"image {image} cannot be inspected"):
            try:
                config = self._sdk.images.get(image).attrs["Config"] or {}
            except docker.errors.ImageNotFound:
                return None
        ports = [str(port).partition("/") for port in config.get("ExposedPorts") or {}]
        return sorted(int(port) for port, _, protocol in ports if protocol in ("", "tcp"))

    def signal(self, container: Container, name: str) -> None:
        """Send a signal to a container's main process; does not wait. One that does not run is left alone."""
        self._act(
            container, "get a signal", lambda api: api.kill(container.id, name), lambda state: not state["Running"]
        )

    def start(self, container: Container) -> None:
        """Start a container; one that runs is left alone."""
        self._act(container, "be started", lambda api: api.start(container.id), lambda state: state["Running"])

    def pause(self, container: Container) -> None:
        """Freeze a container; one that is frozen is left alone.

        Waits for a moment between two health checks (at most a few seconds): a check that is frozen while it starts
        keeps the engine from ever thawing the container.
        """
        wait_until(lambda: self._between_checks(container), within=BETWEEN_CHECKS)
        self._act(container, "be paused", lambda api: api.pause(container.id), lambda state: state["Paused"])

    def unpause(self, container: Container) -> None:
        """Let a frozen container go on; one that is not frozen is left alone.

        One that the engine cannot thaw (see `pause`) is killed and started anew, the only way that is left.
        """
        try:
            # Not asked before whether it is frozen: the engine cannot even describe one that it cannot thaw.
            done = self.docker("unpause", container.id, timeout=UNPAUSE)
        except EngineUnavailable:
            raise
        except StackError:
            self.docker("kill", container.id, timeout=UNWEDGE)
            self.ended(container, within=POLL)
            self.start(container)
            return
        if done.code != 0 and self.inspect(container.id)["State"]["Paused"]:
            raise StackError(f"{container.name} cannot be unpaused: {tail(done.err)}")

    def _between_checks(self, container: Container) -> bool:
        """Whether no health check of a container runs or is about to start."""
        found = self.inspect(container.id)
        check, log = found["Config"].get("Healthcheck") or {}, (found["State"].get("Health") or {}).get("Log") or ()
        if not log:
            return True
        interval = (check.get("Interval") or 30e9) / 1e9
        last_end = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", log[-1]["End"]))
        left = interval - (dt.datetime.now(dt.UTC) - last_end).total_seconds()
        return left >= min(0.5, interval / 2)

    def disconnect(self, container: Container, network: str) -> None:
        """Take a container off a network; one that is not on it is left alone."""
        if network in self.memberships(container):
            with self._errors(f"{container.name} cannot be taken off network {network}"):
                self._sdk.api.disconnect_container_from_network(container.id, network, force=True)

    def connect(self, container: Container, network: str, aliases: Sequence[str], address: str | None) -> None:
        """Put a container on a network under these names, at this address or any."""
        with self._errors(f"{container.name} cannot be put on network {network}"):
            self._sdk.api.connect_container_to_network(
                container.id, network, aliases=list(aliases) or None, ipv4_address=address
            )

    def memberships(self, container: Container) -> dict[str, dict[str, Any]]:
        """The networks that a container is on, each with what the engine knows of its place there."""
        found: dict[str, dict[str, Any]] = self.inspect(container.id)["NetworkSettings"]["Networks"] or {}
        return found

    def ended(self, container: Container, within: float) -> bool:
        """Wait at most ``within`` seconds until a container's processes are gone; False when they are not."""
        return wait_until(lambda: not self.inspect(container.id)["State"]["Running"], within=within)

    def remove(self, project: str) -> None:
        """Remove what is left of a project: containers, their volumes, networks; only what carries its label.

        Raises:
            StackError: something of it is still there after a while; an engine in mid-change first ends the change.
        """
        what = f"the rest of {project} cannot be removed"
        labels = [f"{PROJECT}={project}", f"com.docker.compose.project={project}"]
        held: list[str] = []

        def removed() -> bool:
            held[:] = remove_labelled(self._sdk.api, labels)
            return not held

        with self._errors(what):
            if not wait_until(removed, within=REMOVED_WITHIN):
                raise StackError(f"{what}: the engine answered {'; '.join(held)}")

    def remove_drafts(self, project: str, service: str | None = None) -> None:
        """Remove what a Compose that was killed halfway left: it would not get past its own drafts the next time.

        Of one service, where only that is changed: somebody else may be making another one's container right now.
        """
        import docker.errors

        with self._errors(f"what an interrupted change of {project} left cannot be removed"):
            for container in self.containers(project):
                if container.draft and service in (None, container.service):
                    with contextlib.suppress(docker.errors.NotFound):
                        self._sdk.api.remove_container(container.id, v=True, force=True)

    def logs(self, container: Container, since: float, lines: int) -> bytes:
        """The last lines of a container's log, no older than ``since`` (seconds since 1970), with times."""
        with self._errors(f"the log of {container.name} cannot be read"):
            found: bytes = self._sdk.api.logs(container.id, since=max(since, 1.0), tail=lines, timestamps=True)
            return found

    def usage(self, container: Container) -> dict[str, Any]:
        """What a container uses now: memory in bytes, and its processors' time in seconds since it was started."""
        with self._errors(f"what {container.name} uses cannot be read"):
            found = self._sdk.api.stats(container.id, stream=False, one_shot=True)
        memory, processor = found.get("memory_stats", {}), found.get("cpu_stats", {}).get("cpu_usage", {})
        return {
            "memory": memory.get("usage"),
            "memory_limit": memory.get("limit"),
            "processor_seconds": processor.get("total_usage", 0) / 1e9,
            "processes": found.get("pids_stats", {}).get("current"),
        }

    def _act(
        self,
        container: Container,
        what: str,
        act: Callable[[Any], object],
        done: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        import docker.errors

        with self._errors(f"{container.name} cannot {what}"):
            try:
                act(self._sdk.api)
            except docker.errors.NotFound:
                raise
            except docker.errors.APIError:
                # The engine refuses what is so already ("is not running", "is already paused").
                if not done(self.inspect(container.id)["State"]):
                    raise


def _container(entry: Mapping[str, Any]) -> Container:
    labels: Mapping[str, str] = entry["Labels"] or {}
    networks = ((entry.get("NetworkSettings") or {}).get("Networks") or {}).values()
    return Container(
        id=entry["Id"],
        name=str(entry["Names"][0]).lstrip("/"),
        service=labels.get(SERVICE, ""),
        is_proxy=labels.get(ROLE) == "proxy",
        state=entry["State"],
        status=entry["Status"],
        image=entry["Image"],
        published={
            int(port["PrivatePort"]): int(port["PublicPort"])
            for port in entry["Ports"] or ()
            if port.get("PublicPort") and port.get("Type") == "tcp"
        },
        addresses={n["IPAddress"]: n["Gateway"] for n in networks if n.get("IPAddress")},
    )
