"""Interposition: from what ``docker compose config`` prints to the stack that drills run on. Pure: no engine, no files.

A service ``db`` that is to have a proxy becomes ``db--real``, and ``db--proxy`` takes its name and aliases on the same
networks, so that clients keep connecting to ``db:5432``. Everything by which two copies of a stack would get in each
other's way (names, addresses, host ports) is dropped or replaced, and what would be shared with real data is refused.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from sevdrill.errors import UsageError
from sevdrill.model import Model
from sevdrill.stacks.safety import refuse_shared
from sevdrill.stacks.settings import StackSettings

__all__ = [
    "LAYOUT",
    "OWNER",
    "PROJECT",
    "ROLE",
    "SERVICE",
    "Layout",
    "Pick",
    "ServiceLayout",
    "declared_ports",
    "declared_replicas",
    "rewrite",
    "without_ports",
]

PROJECT, SERVICE, ROLE = "sevdrill.project", "sevdrill.service", "sevdrill.role"
"""Labels: whose container it is, which service it belongs to (as users wrote it), and ``service`` or ``proxy``."""
OWNER = "sevdrill.state"
"""Label: the folder in which the run that started a container keeps its own files."""
LAYOUT = "x-sevdrill-layout"
"""Key of the rewritten file under which its `Layout` stands."""

TOXIPROXY_IMAGE = "ghcr.io/shopify/toxiproxy:2.12.0"
TOXIPROXY_API = 8474
TOXIPROXY_CONFIG = "/sevdrill-proxies.json"
REACH = "sevdrill-reach"
"""A network for proxies whose own networks are all internal: the engine publishes no port of an internal network."""

Document = dict[str, Any]
Pick = Callable[[str, int], int]
"""Picks the loopback port for a container's port: ``pick(service in the rewritten file, port)``."""


class ServiceLayout(Model):
    """Where one service of the original files is in the rewritten one."""

    runs_as: str
    """Its own name in the rewritten file."""
    replicas: int = 1
    proxy: str = ""
    """Name of its proxy's service; empty when it has none."""
    api: int = 0
    """Loopback port of the proxy's control API."""
    faulted: tuple[int, ...] = ()
    """Ports that network faults act on."""
    passed: tuple[int, ...] = ()
    """Ports that the proxy only passes on: clients of the name need them as well."""
    published: dict[int, int] = Field(default_factory=dict)
    """The fixed loopback port of each port that has one, by the way that clients take."""
    job: bool = False
    """Whether it is meant to end, with code 0: others wait for its completion."""

    def upstreams(self, service: str) -> list[Document]:
        """The proxies that stand before ``service``, one a port, as Toxiproxy's config file and API have them."""
        return [
            {
                "name": f"{service}-{port}",
                "listen": f"[::]:{port}",
                "upstream": f"{self.runs_as}:{port}",
                "enabled": True,
            }
            for port in (*self.faulted, *self.passed)
        ]


class Layout(Model):
    """Where everything is in the rewritten file."""

    project: str
    services: dict[str, ServiceLayout]


def rewrite(
    model: Mapping[str, Any],
    settings: StackSettings,
    project: str,
    pick: Pick,
    image_ports: Mapping[str, Sequence[int]] | None = None,
) -> tuple[Document, Layout]:
    """The interposed model, and where everything is in it; ``model`` is left as it is.

    ``image_ports`` are the TCP ports that images expose, for the services of `without_ports`.

    Raises:
        Refused: the model shares something with the world outside that it has not opted in to.
        UsageError: a proxy is wanted where none can stand.
    """
    try:
        return _rewrite(model, settings, project, pick, image_ports)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the Compose files have a shape that sevdrill does not know ({type(error).__name__}: {error}); "
            "write it as `docker compose config` does"
        ) from None


def _rewrite(
    model: Mapping[str, Any],
    settings: StackSettings,
    project: str,
    pick: Pick,
    image_ports: Mapping[str, Sequence[int]] | None,
) -> tuple[Document, Layout]:
    refuse_shared(model, settings)
    source = copy.deepcopy(dict(model))
    rewriter = _Rewriter(source, settings, project, pick, image_ports or {})
    services: Document = {}
    configs: Document = source.get("configs") or {}
    for name, service in rewriter.services.items():
        layout = rewriter.layouts[name]
        if layout.proxy:
            services[layout.proxy] = rewriter.proxy(name, service)
            # Compose interpolates this file once more; a name or port never holds a "$".
            configs[layout.proxy] = {"content": json.dumps(layout.upstreams(name))}
        services[layout.runs_as] = rewriter.service(name, service)
    networks, volumes = dict(source.get("networks") or {}), source.get("volumes") or {}
    if any(REACH in (service.get("networks") or ()) for service in services.values()):
        networks[REACH] = {}
    layout_of_all = Layout(project=project, services=rewriter.layouts)
    result: Document = {key: value for key, value in source.items() if key.startswith("x-")}
    result |= {"name": project, LAYOUT: layout_of_all.model_dump(mode="json"), "services": services}
    parts = {
        "networks": {name: _own_network(network or {}, project) for name, network in networks.items()},
        "volumes": {name: _own_volume(volume or {}, project) for name, volume in volumes.items()},
        "configs": configs,
        "secrets": source.get("secrets"),
    }
    return result | {key: part for key, part in parts.items() if part}, layout_of_all


def declared_ports(service: Mapping[str, Any]) -> list[int]:
    """TCP ports that a service declares by ``ports``, else by ``expose``."""
    for key in ("ports", "expose"):
        found = _tcp(_ports({key: service.get(key)}))
        if found:
            return found
    return []


def declared_replicas(model: Mapping[str, Any]) -> dict[str, int]:
    """How many replicas of each service are asked for."""
    return {name: _replicas(service) for name, service in (model.get("services") or {}).items()}


def _replicas(service: Mapping[str, Any]) -> int:
    asked = (service.get("scale"), (service.get("deploy") or {}).get("replicas"))
    return next((int(count) for count in asked if count is not None), 1)


def without_ports(model: Mapping[str, Any], settings: StackSettings) -> list[str]:
    """Services whose proxy must stand on the ports of their image, because nothing else says which."""
    services = model.get("services") or {}
    return [name for name, ports in settings.proxies.items() if not ports and not declared_ports(services[name])]


class _Rewriter:
    """The parts of one rewriting that share what they need to know of the whole model."""

    def __init__(
        self,
        source: Document,
        settings: StackSettings,
        project: str,
        pick: Pick,
        image_ports: Mapping[str, Sequence[int]],
    ) -> None:
        self.services: dict[str, Document] = source.get("services") or {}
        self._settings, self._project, self._pick, self._image_ports = settings, project, pick, image_ports
        self._internal = {
            name for name, network in (source.get("networks") or {}).items() if (network or {}).get("internal")
        }
        self.layouts = {name: self._layout(name, service) for name, service in self.services.items()}

    def _layout(self, name: str, service: Document) -> ServiceLayout:
        waiting = [_mapping(other.get("depends_on")).get(name) or {} for other in self.services.values()]
        layout = ServiceLayout(
            runs_as=name,
            replicas=_replicas(service),
            job=any(wait.get("condition") == "service_completed_successfully" for wait in waiting),
        )
        if name in self._settings.proxies:
            return self._proxied(name, service, layout)
        fixed = layout.replicas == 1 and self._publishes(service)
        published = {port: self._pick(name, port) for port in _tcp(_ports(service))} if fixed else {}
        return layout.model_copy(update={"published": published})

    def _proxied(self, name: str, service: Document, layout: ServiceLayout) -> ServiceLayout:
        place = f"x-sevdrill.proxies.{name}"
        if service.get("network_mode"):
            raise UsageError(
                f"{place}: no proxy can stand before {name}: it has no network of its own "
                f"(network_mode: {service['network_mode']})"
            )
        real, proxy = f"{name}--real", f"{name}--proxy"
        for taken in {real, proxy} & set(self.services):
            raise UsageError(
                f"{place}: the files have a service {taken} already, a name that the proxy needs; rename it"
            )
        ports = list(self._settings.proxies[name]) or declared_ports(service) or sorted(self._image_ports.get(name, ()))
        if not ports:
            raise UsageError(
                f"{place}: neither the service nor its image says on which port it listens; "
                f"list its ports, such as proxies: {{{name}: [5432]}}"
            )
        passed = [port for port in _tcp(_ports(service)) if port not in ports]
        return layout.model_copy(
            update={
                "runs_as": real,
                "proxy": proxy,
                "api": self._pick(proxy, _api({*ports, *passed})),
                "faulted": tuple(ports),
                "passed": tuple(passed),
                "published": {port: self._pick(proxy, port) for port in (*ports, *passed)},
            }
        )

    def _publishes(self, service: Document) -> bool:
        networks = _mapping(service.get("networks"))
        return bool(networks) and not set(networks) <= self._internal

    def _labels(self, name: str, role: str) -> dict[str, str]:
        return {PROJECT: self._project, SERVICE: name, ROLE: role}

    def proxy(self, name: str, service: Document) -> Document:
        """The service that stands before ``name``."""
        layout, direct = self.layouts[name], self._settings.direct.get(name, ())
        old_name = [service["container_name"]] if service.get("container_name") else []
        networks: Document = {}
        for network, options in _mapping(service.get("networks")).items():
            aliases = [name, *old_name, *((options or {}).get("aliases") or ())]
            networks[network] = {"aliases": [alias for alias in dict.fromkeys(aliases) if alias not in direct]}
        if not self._publishes(service):
            networks[REACH] = {}
        api = _api({*layout.faulted, *layout.passed})
        return {
            "image": TOXIPROXY_IMAGE,
            "command": ["-host=0.0.0.0", f"-port={api}", f"-config={TOXIPROXY_CONFIG}"],
            "configs": [{"source": layout.proxy, "target": TOXIPROXY_CONFIG}],
            "networks": networks,
            "ports": [_publish(port, "tcp", host) for port, host in [*layout.published.items(), (api, layout.api)]],
            "labels": self._labels(name, "proxy"),
            # Toxiproxy dials while nobody else can connect: a dead upstream must be given up soon, name and address.
            "dns_opt": ["timeout:1", "attempts:1"],
            "sysctls": {"net.ipv4.tcp_syn_retries": 1},
            # Not restarted by itself: it would come back without its toxics, and a fault would seem to have healed.
            "restart": "no",
        }

    def service(self, name: str, service: Document) -> Document:
        """The service itself, as it is in the rewritten file."""
        layout = self.layouts[name]
        real = copy.deepcopy(service)
        self._rewire(real)
        ports = _ports(service) | {(port, "tcp") for port in layout.faulted}
        fixed = {} if layout.proxy else layout.published
        old_name = real.pop("container_name", None)
        for key in ("profiles", "ports", "expose", "mac_address", "pull_policy"):
            real.pop(key, None)
        if ports and self._publishes(service):
            real["ports"] = [_publish(port, protocol, fixed.get(port)) for port, protocol in sorted(ports)]
        if "networks" in real:
            # What still leads here: the aliases that are meant to go past the proxy and, without one, all.
            more = [*([] if layout.proxy or not old_name else [old_name]), *self._settings.direct.get(name, ())]
            real["networks"] = {
                network: _membership(options or {}, keep=not layout.proxy, more=more)
                for network, options in _mapping(real["networks"]).items()
            }
        real["labels"] = {**_mapping(real.get("labels")), **self._labels(name, "service")}
        if "build" in real:
            real.setdefault("image", _built_image(name, real["build"]))
        return real

    def _rewire(self, service: Document) -> None:
        """Let everything that names another service name the right half of it."""
        depends: Document = {}
        for other, wait in _mapping(service.get("depends_on")).items():
            if other not in self.layouts:
                continue  # its profile is not on
            depends[self._real(other)] = wait or {"condition": "service_started"}
            if self.layouts[other].proxy:
                depends[self.layouts[other].proxy] = {"condition": "service_started", "required": True}
        if depends or "depends_on" in service:
            service["depends_on"] = depends
        if service.get("links"):
            service["links"] = [self._link(str(link)) for link in service["links"]]
        if service.get("volumes_from"):
            service["volumes_from"] = [self._volumes_from(str(entry)) for entry in service["volumes_from"]]
        for key in ("network_mode", "pid", "ipc"):
            kind, _, other = str(service.get(key) or "").partition(":")
            if kind == "service":
                service[key] = f"service:{self._real(other)}"

    def _real(self, name: str) -> str:
        return self.layouts[name].runs_as if name in self.layouts else name

    def _link(self, link: str) -> str:
        other, _, alias = link.partition(":")
        layout = self.layouts.get(other)
        return f"{layout.proxy}:{alias or other}" if layout and layout.proxy else link

    def _volumes_from(self, entry: str) -> str:
        kind, _, _ = entry.partition(":")
        if kind == "container":
            return entry
        other, colon, mode = entry.partition(":")
        return f"{self._real(other)}{colon}{mode}"


def _mapping(value: object) -> Document:
    """A Compose mapping that may also be written as a list (``depends_on``, ``labels``, ``networks``)."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, list):
        return {}
    pairs = [str(item).partition("=") for item in value]
    return {key: (text if equals else None) for key, equals, text in pairs}


def _ports(service: Mapping[str, Any]) -> set[tuple[int, str]]:
    """Ports of ``ports`` and ``expose``, each with its protocol."""
    found = {
        (int(port["target"]), str(port.get("protocol") or "tcp"))
        for port in service.get("ports") or ()
        if "target" in port
    }
    for text in service.get("expose") or ():
        span, _, protocol = str(text).partition("/")
        first, _, last = span.partition("-")
        found |= {(port, protocol or "tcp") for port in range(int(first), int(last or first) + 1)}
    return found


def _tcp(ports: Iterable[tuple[int, str]]) -> list[int]:
    return sorted({port for port, protocol in ports if protocol == "tcp"})


def _api(taken: set[int]) -> int:
    return next(port for port in range(TOXIPROXY_API, 65536) if port not in taken)


def _publish(port: int, protocol: str, host: int | None) -> Document:
    published: Document = {"mode": "ingress", "host_ip": "127.0.0.1", "target": port, "protocol": protocol}
    return published if host is None else {**published, "published": str(host)}


def _membership(options: Document, *, keep: bool, more: Iterable[str]) -> Document | None:
    """A service's place on a network, without what two copies of a stack cannot both have."""
    dropped = {"aliases", "ipv4_address", "ipv6_address", "link_local_ips", "mac_address"}
    kept = {key: value for key, value in options.items() if key not in dropped}
    aliases = list(dict.fromkeys([*((options.get("aliases") or ()) if keep else ()), *more]))
    return (kept | ({"aliases": aliases} if aliases else {})) or None


def _own_network(network: Document, project: str) -> Document:
    if network.get("external"):
        return network
    # Its name comes from the project; a fixed subnet or interface can exist once on a machine.
    kept = {key: value for key, value in network.items() if key not in ("name", "ipam", "enable_ipv6")}
    options = {
        k: v for k, v in _mapping(kept.pop("driver_opts", None)).items() if k != "com.docker.network.bridge.name"
    }
    labels = {**_mapping(kept.get("labels")), PROJECT: project}
    return {**kept, **({"driver_opts": options} if options else {}), "labels": labels}


def _own_volume(volume: Document, project: str) -> Document:
    if volume.get("external"):
        return volume
    kept = {key: value for key, value in volume.items() if key != "name"}
    return {**kept, "labels": {**_mapping(kept.get("labels")), PROJECT: project}}


def _built_image(name: str, build: object) -> str:
    """One image for every project that builds the same thing, so that each does not build its own."""
    digest = hashlib.sha256(json.dumps(build, sort_keys=True, default=str).encode()).hexdigest()
    return f"sevdrill-built-{name.lower()}:{digest[:12]}"
