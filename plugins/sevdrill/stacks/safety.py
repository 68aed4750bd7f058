"""What is refused before anything is started: what looks like production, and what would be shared with real data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from sevdrill.errors import Refused
from sevdrill.stacks.settings import StackSettings

__all__ = ["refuse_production", "refuse_shared"]


_WORD = re.compile(r"(?<![A-Za-z])(prod|production|live)(?![A-Za-z])", re.IGNORECASE)
_HOST = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#\s@]*@)?\[?([^/?#\s:@\]]+)", re.IGNORECASE)
# Frameworks run in "production" wherever they are deployed; these say how code is built, not where it runs.
_BUILD_MODES = {"NODE_ENV", "RAILS_ENV", "RACK_ENV", "FLASK_ENV", "MIX_ENV", "BABEL_ENV"}
_SAYS_WHERE = re.compile(r"(?:^|_)(?:ENV|ENVIRONMENT|STAGE|TIER)$", re.IGNORECASE)
_NAMES_HOST = re.compile(r"(?:^|_)(?:HOST|HOSTNAME|ADDR|ADDRESS|SERVER|SERVERS|ENDPOINT)$", re.IGNORECASE)


def refuse_production(names: Mapping[str, str]) -> None:
    """Refuse names that look like production; ``names`` maps what is named ("project", "file") to its name.

    Raises:
        Refused: one has ``prod``, ``production`` or ``live`` as a word.
    """
    for what, name in names.items():
        found = _WORD.search(name)
        if found:
            raise Refused(
                f'{what} "{name}" looks like production ("{found[0]}"); drills break what they run on. '
                "Use a staging stack, or rename it if it is one"
            )


def refuse_shared(model: Mapping[str, Any], settings: StackSettings) -> None:
    """Refuse a model that shares data or networks with the world outside the stack, or that names production.

    Each as far as the files have not opted in.

    Raises:
        Refused: it does; the text says which permission allows it.
    """
    for name, service in (model.get("services") or {}).items():
        _Check(settings, f"service {name}").service(service)
        _Check(settings, f"service {name}").names(name, service)
    for name, volume in (model.get("volumes") or {}).items():
        _Check(settings, f"volume {name}").volume(volume or {})
    for name, network in (model.get("networks") or {}).items():
        _Check(settings, f"network {name}").network(network or {})


class _Check:
    def __init__(self, settings: StackSettings, what: str) -> None:
        self._settings, self._what = settings, what

    def _needs(self, permission: str, why: str) -> None:
        if permission not in self._settings.allow:
            raise Refused(f"{self._what}: {why}. If that is meant, allow it: x-sevdrill: {{allow: [{permission}]}}")

    def service(self, service: Mapping[str, Any]) -> None:
        mode = str(service.get("network_mode") or "")
        if mode == "host":
            self._needs("host-network", "network_mode: host puts it on this machine's own network")
        if mode.startswith("container:") or service.get("external_links"):
            self._needs("external-networks", "it is joined to a container outside this stack")
        if any(str(entry).startswith("container:") for entry in service.get("volumes_from") or ()):
            self._needs("external-volumes", "volumes_from names a container outside this stack")
        for volume in service.get("volumes") or ():
            if not isinstance(volume, Mapping) or volume.get("type") not in ("bind", "npipe"):
                continue
            source = str(volume.get("source"))
            if not volume.get("read_only"):
                self._needs("bind-mounts", f"it can write to {source} on this machine (make it read_only)")
            elif PurePosixPath(source).suffix == ".sock":
                self._needs("bind-mounts", f"{source} is a socket, which read_only does not protect")
        for key, why in (
            ("privileged", "privileged: true gives it this whole machine"),
            ("devices", "devices are this machine's own"),
            ("use_api_socket", "use_api_socket gives it the container engine"),
        ):
            if service.get(key):
                self._needs("host-access", why)
        if service.get("pid") == "host":
            self._needs("host-access", "pid: host lets it reach every process of this machine")

    def names(self, name: str, service: Mapping[str, Any]) -> None:
        """Names that look like production: the service's own, and those of the hosts that it is told to use."""
        self._named(name, "its name")
        self._named(str(service.get("container_name") or ""), "its container_name")
        for key, value in (service.get("environment") or {}).items():
            text = str(value or "")
            if _SAYS_WHERE.search(key) and key.upper() not in _BUILD_MODES:
                self._named(text, f"its environment says {key}, which")
            if _NAMES_HOST.search(key):
                self._named(text, f"the host in its environment's {key}")
            self._hosts(text, f"a URL in its environment's {key}")
        for key in ("command", "entrypoint"):
            given = service.get(key) or ()
            self._hosts(given if isinstance(given, str) else " ".join(map(str, given)), f"a URL in its {key}")
        for host in service.get("extra_hosts") or ():
            self._named(re.split("[:=]", str(host))[0], "a host in its extra_hosts")

    def _hosts(self, text: str, what: str) -> None:
        for host in _HOST.findall(text):
            self._named(host, f"the host of {what}")

    def _named(self, name: str, what: str) -> None:
        # Only the word is told: what stands around it may be a secret.
        found = _WORD.search(name)
        if found:
            self._needs("production-names", f'{what} looks like production ("{found[0]}")')

    def volume(self, volume: Mapping[str, Any]) -> None:
        options = volume.get("driver_opts") or {}
        if volume.get("external"):
            self._needs("external-volumes", "it is external, so its data is not this stack's own")
        elif "bind" in str(options.get("o", "")).split(","):
            self._needs("bind-mounts", f"it is {options.get('device')} of this machine")
        elif options.get("device") and options.get("type") != "tmpfs":
            self._needs("external-volumes", f"its data is outside this stack ({options['device']})")

    def network(self, network: Mapping[str, Any]) -> None:
        if network.get("external"):
            self._needs("external-networks", "it is external, so others are on it")
        elif network.get("driver", "bridge") not in ("bridge", ""):
            self._needs("external-networks", f"driver {network['driver']} reaches beyond this machine")
