"""Host ports on loopback that stay a stack's own while its containers are stopped."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sevdrill.errors import StackError
from sevdrill.stacks.engine import Engine

__all__ = ["FreePorts", "LoopbackPorts", "outside_ephemeral"]


class FreePorts:
    """Picks host ports outside what the kernel hands out by itself, and outside those that are ``taken``."""

    def __init__(self, taken: set[int]) -> None:
        self._taken = taken
        # Stacks that are started at the same moment begin at different places.
        self._low, self._high = outside_ephemeral()
        self._next = random.randrange(self._low, self._high)

    def another(self) -> int:
        """A port that is free now, and was not given before.

        Raises:
            StackError: none is free.
        """
        for _ in range(self._high - self._low):
            candidate, self._next = self._next, self._next + 1 if self._next + 1 < self._high else self._low
            if candidate not in self._taken and _free(candidate):
                self._taken.add(candidate)
                return candidate
        raise StackError(f"no loopback port between {self._low} and {self._high} is free; take other stacks down")


class LoopbackPorts(FreePorts):
    """Picks fixed host ports outside other drill stacks' ports."""

    def __init__(self, engine: Engine, project: str, kept: Mapping[str, Any]) -> None:
        """``kept`` are services of a rewritten model whose ports are kept, by name."""
        self._kept = {
            (name, int(port["target"])): int(port["published"])
            for name, service in kept.items()
            for port in service.get("ports") or ()
            if "published" in port
        }
        # A stopped stack's ports are free now, and taken again when it is started.
        super().__init__(engine.fixed_ports(other_than=project) | set(self._kept.values()))

    def pick(self, service: str, port: int) -> int:
        """The loopback port for a container's port.

        Raises:
            StackError: none is free.
        """
        return self._kept[service, port] if (service, port) in self._kept else self.another()


def outside_ephemeral() -> tuple[int, int]:
    """A span of ports (the end is not in it) that the kernel does not hand out by itself."""
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return 20000, 30000
    if low >= 12000:
        return max(10000, low - 12000), low
    return (high + 1, 65536) if high < 64000 else (2048, max(low, 3072))


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
