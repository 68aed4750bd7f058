"""Measuring whole processes, side by side: machines differ and are noisy, so what counts are ratios and medians."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """What a process took, in seconds."""

    cpu: float
    """Processor time of it and of its children."""
    wall: float


def cost(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command that must succeed, and tell what it took."""
    began = time.monotonic()
    with (folder / "output.txt").open("w+b") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        output.seek(0)
        assert process.returncode == 0, output.read().decode(errors="replace")
    return Cost(used.ru_utime + used.ru_stime, wall)


def pairs(one: tuple[Sequence[str], Path], other: tuple[Sequence[str], Path], *, times: int) -> list[tuple[Cost, Cost]]:
    """Run two commands in turn, each in its folder, after a first run of each that does not count."""
    # Modules are compiled once, as where people work; a test of ours may be run in an environment that forbids it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = [tuple(cost(command, folder, environment) for command, folder in (one, other)) for _ in range(times + 1)]
    return [(first, second) for first, second in found[1:]]


def median_ratio(measured: Sequence[tuple[Cost, Cost]]) -> float:
    """Processor time of the first over that of the second, pair by pair; the median."""
    return statistics.median(first.cpu / second.cpu for first, second in measured)
