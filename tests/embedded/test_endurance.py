"""Many drills in a row on one stack: nothing grows, and the last is as fast as the first.

``make endurance`` runs 200; so many as ``ENDURANCE`` says, else ten.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from embedded_root import SmallPlace

pytestmark = pytest.mark.embedded

DRILLS = int(os.environ.get("ENDURANCE", "10"))
MORE = 1.05
"""No more than five in a hundred may be added."""
FAULTS = (
    "{fault: container.kill, service: web}",
    "{fault: container.crash-loop, service: web}",
    "{fault: network.down, service: web}",
    "{fault: container.pause, service: web}",
    "{fault: network.timeout, service: web}",
)
DRILL = """
drill: Web down, number %d
severity: SEV-2
blast_radius: {replicas: 100%%}
steady_state:
  hold: 200ms
  every: 100ms
  probes: [{probe: http, url: "http://web:8080/", status: "200", timeout: 500ms}]
inject: [%s]
detect: [{alert: WebDown}]
respond: [{action: heal}]
limit: 60s
"""
# After each drill, what everybody uses; in the runner itself.
CONFTEST = """
import gc, json, os, time
from pathlib import Path

PARTS = (("supervisor", "embedded.supervisor"), ("proxy", " toxiproxy --"), ("balancer", ".balancer"))
last = [time.monotonic(), time.process_time()]


def uses(pid):
    resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    return {
        "memory": (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE"),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": len(os.listdir(f"/proc/{pid}/task")),
    }


def ours(folder):
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.environ["TMPDIR"].encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\\0", b" ").decode()
        except OSError:
            pass
    return found


def pytest_runtest_logfinish(nodeid):
    now = [time.monotonic(), time.process_time()]
    took, worked = now[0] - last[0], now[1] - last[1]
    gc.collect()
    known = ours(os.environ["TMPDIR"])
    seen = {"took": took, "worked": worked, "runner": uses(os.getpid())}
    for pid, command in known.items():
        for name, word in PARTS:
            if word in command:
                seen[name] = uses(pid)
    files = [file for place, _, files in os.walk(os.environ["TMPDIR"]) for file in files]
    seen["everything"] = {"processes": len(known), "files": len(files)}
    with open("samples.jsonl", "a") as stream:
        stream.write(json.dumps(seen) + "\\n")
    last[:] = [time.monotonic(), time.process_time()]
"""


@pytest.fixture
def samples(place: SmallPlace) -> list[dict[str, dict[str, float]]]:
    (place.folder / "drills" / "web-down.yml").unlink()
    for number in range(DRILLS):
        text = DRILL % (number + 1, FAULTS[number % len(FAULTS)])
        (place.folder / "drills" / f"{number:03}.yml").write_text(text)
    (place.folder / "conftest.py").write_text(CONFTEST)
    process = place.start()
    output, _ = process.communicate(timeout=60 + 30 * DRILLS)
    assert process.returncode == 0, output
    assert f"{DRILLS} passed" in output
    return [json.loads(line) for line in (place.folder / "samples.jsonl").read_text().splitlines()]


def test_nothing_grows(samples: list[dict[str, dict[str, float]]]) -> None:
    assert len(samples) == DRILLS
    # The first of each kind imports and opens what is kept; the same kinds stand at both ends.
    part = len(FAULTS) * max(1, DRILLS // 40)
    early, late = samples[DRILLS // 4 :][:part] if DRILLS > 20 else samples[-part - 2 :][:part], samples[-part:]
    grown = []
    for who in ("runner", "supervisor", "proxy", "balancer", "everything"):
        for what in samples[0][who]:
            before = statistics.median(sample[who][what] for sample in early)
            after = statistics.median(sample[who][what] for sample in late)
            print(f"{what} of {who}: {before:g}, then {after:g} ({after / before - 1:+.1%})")
            if after > before * MORE:
                grown.append(f"{what} of {who}: {before:g}, then {after:g}")
    for what in ("took", "worked"):
        before, after = (statistics.median(each[what] for each in some) for some in (early, late))  # type: ignore[type-var]
        print(f"a drill {what} {before:.2f} s, then {after:.2f} s")
    assert grown == []
    # By the work of the runner: how long a drill takes is up to the machine as well.
    assert _work(late) <= _work(early) * (1.25 if DRILLS > 20 else 2)


def _work(samples: list[dict[str, dict[str, float]]]) -> float:
    return min(float(sample["worked"]) for sample in samples)  # type: ignore[arg-type]


def test_the_samples_would_show_growth(tmp_path: Path) -> None:
    # Of a process that leaks, and does nothing else: the claim can fail.
    leak = f"""
import os
{CONFTEST}
before = uses(os.getpid())
kept = [b"x" * (1 << 20) for _ in range(64)]
leaked = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
after = uses(os.getpid())
assert len(kept) == 64
assert after["descriptors"] == before["descriptors"] + 10, (before, after)
assert after["memory"] >= before["memory"] + (60 << 20), (before, after)
"""
    subprocess.run([sys.executable, "-c", leak], cwd=tmp_path, check=True, timeout=60)
