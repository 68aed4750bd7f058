"""The small stack of the crash matrix: what each kind hits there, and how the stack itself shows it.

Nothing of sevdrill is used to look: `look` asks the engine, Toxiproxy and the services.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from dataclasses import dataclass
from typing import Any

import docker
from drill_root import IMAGES

__all__ = ["EXAMPLES", "Example", "ask", "compose", "look"]


@dataclass(frozen=True)
class Example:
    """One example of a kind: settings that work on the small stack. Each hits a service, or a setting, of its own."""

    settings: dict[str, Any]
    sees: tuple[str, ...] = ()
    """A command whose output in the service's containers shows it, where the engine's own description does not."""


ASK = ("psql", "-U", "dba", "-d", "shop", "-XAtqc")
"""How the databases of the stack are asked, here and by sevdrill."""
# Without those that ask: a healer proves twice that nothing is left. No answer is empty: an empty one was lost.
CLIENTS = "select application_name from pg_stat_activity where datname = 'shop' and application_name <> 'psql'"
SESSIONS = (*ASK, f"select 'sessions' union all {CLIENTS}")
HOGS = ("sh", "-c", "grep -lsF SEVDRILL_HOG= /proc/[0-9]*/environ | grep -c .; :")

COLUMNS = "select attname from pg_attribute where attrelid = 'orders'::regclass and attnum > 0 and not attisdropped"

# A new kind joins the matrix by a line here; `test_every_kind_has_an_example` fails without it.
EXAMPLES: dict[str, Example] = {
    "container.kill": Example({"service": "kill"}),
    "container.stop": Example({"service": "stop"}),
    "container.pause": Example({"service": "pause"}),
    "container.crash-loop": Example({"service": "crash-loop"}),
    "network.latency": Example({"service": "latency", "latency": "200ms"}),
    "network.bandwidth": Example({"service": "bandwidth", "rate": "8kB"}),
    "network.reset": Example({"service": "reset"}),
    "network.slicer": Example({"service": "slicer", "size": "100B", "delay": "1ms"}),
    "network.limit-data": Example({"service": "limit-data", "limit": "1kB"}),
    "network.slow-close": Example({"service": "slow-close", "delay": "1s"}),
    "network.timeout": Example({"service": "timeout"}),
    "network.down": Example({"service": "down"}),
    "network.partition": Example({"service": "partition"}),
    "provider.rate-limit": Example({"service": "rate-limit", "key": "main", "rate": "1/s"}),
    "provider.refuse-key": Example({"service": "refuse-key", "key": "main"}),
    "provider.respond-with-status": Example({"service": "answers", "status": 503}),
    "provider.slow": Example({"service": "slow", "delay": "800ms"}),
    "provider.lose-answers": Example({"service": "lose", "share": "50%"}),
    "provider.malformed-body": Example({"service": "malformed", "share": "50%"}),
    "provider.flap": Example({"service": "flap"}),
    "queue.flood": Example({"service": "flood", "queue": "mail", "jobs": 100}),
    "queue.stuck-jobs": Example({"service": "stuck", "queue": "mail", "jobs": 5}),
    "resource.disk-fill": Example(
        {"service": "disk", "folder": "/data/tmp", "leave": "1MiB"}, sees=("find", "/data", "-printf", "%p %s\\n")
    ),
    "resource.cpu-limit": Example({"service": "cpu-limit", "cpus": 0.02}),
    "resource.memory-limit": Example({"service": "memory-limit", "memory": "200MiB"}),
    "resource.cpu-hog": Example({"service": "cpu-hog"}, sees=HOGS),
    "resource.memory-hog": Example({"service": "memory-hog", "memory": "2MiB"}, sees=HOGS),
    "change.deploy": Example({"service": "release", "release": "1.1"}),
    "change.config": Example({"service": "config", "set": {"MODE": "wrong"}}),
    "change.migration": Example({"service": "migration", "migration": "two"}, sees=(*ASK, COLUMNS)),
    "database.lock": Example({"service": "lock", "table": "orders"}, sees=SESSIONS),
    "change.setting": Example({"service": "setting", "setting": "flag.search", "value": "off"}),
    "database.corrupt-rows": Example(
        {"service": "corrupt", "table": "orders", "column": "total"},
        sees=(
            *ASK,
            "select 'wrong' union all select tgname from pg_trigger union all select 'row' from orders where total < 0",
        ),
    ),
    "load.spike": Example({"times": 10}),
    # A service that says that it leaks, and a database that has no session of it: the undo looks at both.
    "database.connections-exhausted": Example({"service": "pool", "database": "pool-db"}),
    "circuit-break": Example({"service": "circuit-break", "dependency": "provider"}),
    "switch-key": Example({"service": "switch-key", "provider": "provider"}),
    "throttle": Example({"service": "throttle", "requests": "chat", "rate": "3/s"}),
    "cache": Example({"service": "cache", "answers": "pages", "keep": "1h"}),
    "flag": Example({"service": "flag", "flag": "search"}),
    "maintenance": Example({"service": "maintenance", "part": "payments"}),
    "pause-queue": Example({"service": "pause-queue", "queue": "mail"}),
    "config-set": Example({"service": "config-set", "set": {"MODE": "other"}}),
    "rotate-secret": Example({"service": "rotate", "secret": "session"}),
    "route-away": Example({"service": "route-away", "replicas": ["app-2"]}),
    "block": Example({"service": "block", "addresses": ["10.1.2.3"]}),
    "revoke-session": Example({"service": "revoke-session", "sessions": ["support-7"]}),
    "fence": Example({"service": "fence"}),
    "scale": Example({"service": "scale", "replicas": 2}),
}

PROXIED = ("latency", "bandwidth", "reset", "slicer", "limit-data", "slow-close", "timeout", "down", "fence")
"""Services behind a proxy."""
ALONE = ("crash-loop", "cpu-limit", "memory-limit", "cpu-hog", "memory-hog", "scale")
"""Services of one replica that nobody talks to."""
DATABASES = ("lock", "migration", "pool-db", "corrupt")
"""Services that are a PostgreSQL: the staging system's own, with nothing but its table of orders."""
ADMIN = (
    *("rate-limit", "refuse-key", "answers", "slow", "lose", "malformed", "flap", "flood", "stuck", "setting", "pool"),
    *("route-away", "block", "revoke-session"),
    *("circuit-break", "switch-key", "throttle", "cache", "flag", "maintenance", "pause-queue", "rotate"),
)
"""Services with an operators' API."""
FILES = (
    "echo 'alter table orders add column two text' >/tmp/two.up.sql; "
    "echo 'alter table orders drop column two' >/tmp/two.down.sql; exec sleep 3600"
)
DATABASE = {
    "image": f"{IMAGES}-db",
    "network_mode": "none",
    "stop_grace_period": "1s",
    "environment": {"POSTGRES_PASSWORD": "staging"},
    "healthcheck": {"test": ["CMD", "pg_isready", "-q", "-U", "shop", "-d", "shop"], "interval": "1s"},
}
VALUES = {
    "limit.main": "unlimited",
    "breaker.provider": "closed",
    "key.provider": "main",
    "throttle.chat": "off",
    "flag.search": "on",
    "cache.pages": "0s",
    "revoked.main": "no",
    "answers.all": "ok",
    "secret.session": "as started",
    "maintenance.payments": "off",
    "mode.maintenance": "off",
    "pool.database": "fresh",
    "flood.mail": "off",
    "stuck.mail": "off",
    "pause.mail": "off",
    "away.replicas": "none",
    "denied.addresses": "none",
    "revoked.sessions": "none",
}
"""Settings that each of them has; one that is set to nothing is again `as started`."""
_QUOTED = ", ".join(f'"{text}"' for pair in VALUES.items() for text in pair)
_SERVE = r"""
$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 50, ReuseAddr => 1) or die;
while ($c = $s->accept) {
  $first = <$c>; $n = 0;
  while (<$c>) { last if /^\r?$/; $n = $1 if /^content-length: (\d+)/i }
  $body = ""; read $c, $body, $n if $n;
  $v{$1} = $2 ne "" ? $2 : "as started" if $first =~ /^PUT/ and $body =~ /"name": ?"([^"]*)", ?"value": ?"([^"]*)"/;
  $out = join(",", map { qq("$_": "$v{$_}") } sort keys %v);
  print $c "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{$out}"; close $c;
}
"""
SERVER = f"%v = ({_QUOTED});{_SERVE}"
BIG = r"""
$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 50, ReuseAddr => 1) or die; $SIG{PIPE} = "IGNORE";
while ($c = $s->accept) { print $c "x" x 20_000_000; close $c }
"""


def compose(image: str) -> str:
    """The Compose file, as JSON; ``image`` has the tags 1.0 and 1.1."""
    sleep = {"image": f"{image}:1.0", "init": True, "stop_grace_period": "1s", "command": ["sleep", "3600"]}
    # Made anew by many at once: some engines lose count of what is on a network then, and never remove it again.
    lone = {**sleep, "network_mode": "none"}
    # Compose reads "$" its own way.
    serve = {**sleep, "command": ["perl", "-MIO::Socket::INET", "-e", SERVER.replace("$", "$$")]}
    two = {"deploy": {"replicas": 2}}
    settings = {
        "target": "staging",
        "proxies": {name: [8080, 8081] for name in PROXIED} | {"big": [8080]},
        "admin": {name: f"http://{name}:8080/settings" for name in ADMIN},
        "databases": dict.fromkeys(DATABASES, ASK),
        "migrations": {"migration": {"service": "files", "folder": "/tmp"}},
        "releases": {"release": {"1.0": f"{image}:1.0", "1.1": f"{image}:1.1"}},
    }
    services: dict[str, Any] = {
        "base": {**serve, "expose": ["8080"]},
        # Its answers are larger than every buffer between it and a client that does not read.
        "big": {**serve, "command": [*serve["command"][:3], BIG.replace("$", "$$")]},
        **{name: {**serve, "expose": ["8080"]} for name in ADMIN},
        **{name: {**lone, **two} for name in ("kill", "stop", "pause", "release")},
        **{name: dict(lone) for name in ALONE},
        **{name: dict(sleep) for name in PROXIED},
        **dict.fromkeys(DATABASES, DATABASE),
        "files": {**lone, "command": ["sh", "-c", FILES]},
        "config": {**lone, **two, "environment": {"MODE": "right", "PASSWORD": "not $$changed"}},
        "config-set": {**lone, "environment": {"MODE": "right"}},
        "partition": {**sleep, "networks": {"one": {"aliases": ["first", "second"]}, "two": {}}},
        "disk": {**lone, "command": ["sh", "-c", "mkdir -p /data/tmp; exec sleep 3600"], "volumes": ["disk:/data"]},
    }
    room = {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=8m,mode=1777"}}
    networks = {"one": {}, "two": {}}
    return json.dumps({"x-sevdrill": settings, "services": services, "volumes": {"disk": room}, "networks": networks})


def look(project: str, kind: str) -> dict[str, Any]:
    """What the stack itself shows of the service that a kind's example hits; equal texts mean equal states."""
    example = EXAMPLES[kind]
    client = _client()
    try:
        labels = [f"sevdrill.project={project}", f"sevdrill.service={example.settings['service']}"]
        found = client.api.containers(all=True, filters={"label": labels})
        return {entry["Names"][0]: _container(client, entry["Id"], example) for entry in found}
    except docker.errors.APIError as error:
        return {"error": f"a container has gone while it was looked at: {error}"}


_own = threading.local()


def _client() -> Any:
    if not hasattr(_own, "client"):
        _own.client = docker.DockerClient(base_url=os.environ.get("DOCKER_HOST") or None, timeout=30, version="auto")
    return _own.client


def _container(client: Any, container: str, example: Example) -> dict[str, Any]:
    data = client.api.inspect_container(container)
    state, networks = data["State"], data["NetworkSettings"]["Networks"]
    shown: dict[str, Any] = {
        "running": state["Running"],
        "paused": state["Paused"],
        "image": data["Config"]["Image"],
        "environment": sorted(data["Config"]["Env"] or ()),
        "program": [data["Config"]["Entrypoint"], data["HostConfig"]["RestartPolicy"]["Name"]],
        "limits": _limits(client, data["HostConfig"]),
        "networks": {
            name: sorted({data["Name"][1:], *(place.get("DNSNames") or place["Aliases"] or ())} - {container[:12]})
            for name, place in networks.items()
        },
    }
    if data["Config"]["Labels"]["sevdrill.role"] == "proxy":
        shown["proxies"] = _proxies(data)
    elif state["Running"] and not state["Paused"]:
        if example.sees:
            shown["sees"] = _seen(client, container, list(example.sees))
        if example.settings["service"] in ADMIN:
            addresses = [place["IPAddress"] for place in networks.values() if place["IPAddress"]]
            shown["settings"] = ask(f"http://{addresses[0]}:8080/")
    return shown


def _seen(client: Any, container: str, command: list[str]) -> list[str]:
    # A busy engine may lose what a command printed.
    for _ in range(3):
        if lines := sorted(client.containers.get(container).exec_run(command).output.decode().splitlines()):
            return list(lines)
    return []


def _limits(client: Any, host: dict[str, Any]) -> list[int]:
    # A quota below 0, and memory as much as the machine has, are no limits.
    machine = client.api.info()["MemTotal"] if host["Memory"] else 0
    return [host["NanoCpus"], max(host["CpuQuota"], 0), host["Memory"] if host["Memory"] < machine else 0]


def _proxies(data: dict[str, Any]) -> object:
    api = next(part.partition("=")[2] for part in data["Config"]["Cmd"] if part.startswith("-port="))
    bound = data["NetworkSettings"]["Ports"].get(f"{api}/tcp") or []
    found = ask(f"http://127.0.0.1:{bound[0]['HostPort']}/proxies") if bound else {}
    if "error" in found:
        return found
    return {name: {"enabled": p["enabled"], "toxics": [t["name"] for t in p["toxics"]]} for name, p in found.items()}


def ask(url: str) -> dict[str, Any]:
    """A JSON answer; what went wrong where there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as answer:
            answered: dict[str, Any] = json.load(answer)
            return answered
    except (OSError, ValueError) as error:
        return {"error": type(error).__name__}
