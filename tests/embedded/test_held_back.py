"""Crash loops, limits, hogs and scaling on child processes: that they are there, and that nothing is left of them."""

from __future__ import annotations

import json
import secrets
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from drill_root import wait_for
from embedded_root import WEB, SmallPlace, processes

from sevdrill.clock import SystemClock
from sevdrill.errors import StackError
from sevdrill.ports import CrashLoop, Endpoints, Lifecycle, Ports, Scale
from sevdrill.resources import Hogs, Limit, Limits
from sevdrill.stacks.embedded import tree
from sevdrill.stacks.embedded.stack import EmbeddedConfig, EmbeddedStack

pytestmark = pytest.mark.embedded

STACK = {
    "x-sevdrill": {"target": "staging", "healthy_within": "60s", "proxies": {"web": [8080]}},
    "services": {
        "web": {
            "expose": ["8080"],
            "x-sevdrill": {"process": {"command": ["python", "web.py", "{port:8080}"]}},
        },
        "bare": {"expose": ["80"], "x-sevdrill": {"process": {"command": ["python", "web.py", "{port:80}"]}}},
        "busy": {"x-sevdrill": {"process": {"command": ["sh", "-c", "while :; do :; done"]}}},
    },
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    folder, name = tmp_path_factory.mktemp("held"), f"sevdrill-test-{secrets.token_hex(4)}"
    (folder / "compose.yml").write_text(json.dumps(STACK))
    (folder / "web.py").write_text(WEB)
    stack = EmbeddedStack(EmbeddedConfig((folder / "compose.yml",), name, folder / ".s"), SystemClock())
    try:
        stack.up()
        data = stack._control.site.folder
        yield stack
    finally:
        stack.down()
    assert processes(str(data)) == {}


@pytest.fixture
def ports(stack: EmbeddedStack) -> Iterator[Ports]:
    yield stack.ports()
    wait_for(stack.is_up, "the stack to be whole again", 60)


def pid(stack: EmbeddedStack, replica: str) -> int:
    return stack._control.status()[replica].pid


def stopped(process: int, seconds: float) -> bool:
    """Whether a process is stopped at any moment."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return True
        time.sleep(0.005)
    return False


def test_processor_time_is_limited_and_given_back(stack: EmbeddedStack, ports: Ports) -> None:
    busy = pid(stack, "busy-1")
    assert not stopped(busy, 0.3)
    ports[Limits].limit("busy", "busy-1", Limit(cpus=0.1))
    assert ports[Limits].limits("busy") == {"busy-1": Limit(cpus=0.1)}
    wait_for(lambda: stopped(busy, 0.3), "it to be held back")
    used, began = tree.processor_seconds(busy), time.monotonic()

    def share() -> float:
        return (tree.processor_seconds(busy) - used) / (time.monotonic() - began)

    # What it had too much, because a busy machine let the supervisor wait, is taken off later.
    wait_for(lambda: time.monotonic() - began > 2 and share() <= 0.15, "it to have no more than it may")
    ports[Limits].limit("busy", "busy-1", Limit())
    assert not stopped(busy, 0.3)


def test_a_frozen_replica_stays_frozen_while_it_is_limited(stack: EmbeddedStack, ports: Ports) -> None:
    busy = pid(stack, "busy-1")
    ports[Limits].limit("busy", "busy-1", Limit(cpus=0.5))
    ports[Lifecycle].pause("busy", ["busy-1"])
    try:
        used = tree.processor_seconds(busy)
        ports[Limits].limit("busy", "busy-1", Limit())
        assert stopped(busy, 0.1)
        time.sleep(0.3)
        # The kernel may still add what it used in the moment before.
        assert tree.processor_seconds(busy) == pytest.approx(used, abs=0.02)
    finally:
        ports[Lifecycle].unpause("busy", ["busy-1"])
    assert not stopped(busy, 0.2)


def test_what_needs_more_memory_than_it_may_is_killed(stack: EmbeddedStack, ports: Ports) -> None:
    busy = pid(stack, "busy-1")
    ports[Limits].limit("busy", "busy-1", Limit(memory=40 << 20))
    ports[Hogs].start("busy", "hog-1", processors=0, memory=200 << 20, most=120)
    wait_for(lambda: ports[Hogs].running("busy", "hog-1") == {"busy-1": False}, "the hog to be killed")
    assert pid(stack, "busy-1") == busy, "the largest is killed, and that was the hog"
    ports[Limits].limit("busy", "busy-1", Limit())
    ports[Hogs].start("busy", "hog-2", processors=0, memory=60 << 20, most=120)
    [hog] = tree.marked("SEVDRILL_HOG", "hog-2")
    wait_for(lambda: tree.private(hog) > 60 << 20, "the hog to have its memory")
    with pytest.raises(StackError, match="MiB of memory already"):
        ports[Limits].limit("busy", "busy-1", Limit(memory=40 << 20))
    ports[Hogs].end("busy", "hog-2")
    assert not Path(f"/proc/{hog}").exists()


def test_a_hog_keeps_processors_busy_and_ends_with_its_replica_or_in_time(stack: EmbeddedStack, ports: Ports) -> None:
    ports[Hogs].start("web", "hog-3", processors=2, memory=0, most=120)
    hogs = tree.marked("SEVDRILL_HOG", "hog-3")
    assert len(hogs) == 2
    wait_for(lambda: all(tree.processor_seconds(each) > 0.2 for each in hogs), "them to work")
    ports[Lifecycle].kill("web", ["web-1"])
    wait_for(lambda: not any(tree.started(each) for each in hogs), "them to die with what they were beside")
    ports[Lifecycle].start("web", ["web-1"])
    ports[Hogs].start("web", "hog-4", processors=1, memory=0, most=1)
    wait_for(lambda: ports[Hogs].running("web", "hog-4") == {"web-1": False}, "it to end by itself")


def test_a_service_dies_at_each_start_until_it_may_live(stack: EmbeddedStack, ports: Ports) -> None:
    loop = ports[CrashLoop]
    loop.begin("web")
    wait_for(lambda: (loop.deaths("web")["web-1"] or 0) >= 2, "it to be started and die again")
    ports[Lifecycle].start("web", ["web-1"])
    assert [r.running for r in ports[Lifecycle].replicas("web")] == [False], "a start does not help"
    loop.begin("web")
    assert (loop.deaths("web")["web-1"] or 0) >= 3, "it is not begun anew"
    loop.end("web")
    assert loop.deaths("web") == {"web-1": None}
    wait_for(lambda: [r.healthy for r in ports[Lifecycle].replicas("web")] == [True], "it to live")


def asked(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode()).split()[0]


def test_more_replicas_take_their_share_and_go_again(stack: EmbeddedStack, ports: Ports) -> None:
    url = ports[Endpoints].url("http://web:8080/")
    first = asked(url)
    ports[Scale].scale("web", 3)
    wait_for(lambda: all(r.healthy for r in ports[Lifecycle].replicas("web")), "three that are well")
    wait_for(lambda: len({asked(url) for _ in range(6)}) == 3, "each to be asked")
    ports[Scale].scale("web", 3)
    assert len(ports[Lifecycle].replicas("web")) == 3
    ports[Scale].scale("web", 1)
    assert [r.name for r in ports[Lifecycle].replicas("web")] == ["web-1"]
    assert {asked(url) for _ in range(4)} == {first}, "the first one stays"
    assert len([p for p in processes(str(stack._control.site.folder)).values() if "web.py" in p]) == 2


def test_what_nothing_stands_before_cannot_have_more(ports: Ports) -> None:
    with pytest.raises(StackError, match=r"bare cannot have 2 replicas: nothing stands before it.*x-sevdrill\.proxies"):
        ports[Scale].scale("bare", 2)
    ports[Scale].scale("busy", 2)  # nobody connects to it
    ports[Scale].scale("busy", 1)


LOOP = ("{fault: container.kill, service: web}", "{fault: container.crash-loop, service: web}")


def test_a_crash_loop_is_ended_by_what_ends_it_only(place: SmallPlace) -> None:
    drill = place.folder / "drills" / "web-down.yml"
    looping = drill.read_text().replace(*LOOP).replace("limit: 15s", "limit: 40s")
    drill.write_text(looping.replace("{action: restart, service: web}", "{action: heal}"))
    result = place.run()
    assert result.outcome == "passed", result.output
    drill.write_text(looping.replace("service: web}]\nlimit", "service: web, timeout: 4s}]\nlimit"))
    result = place.run()
    assert result.outcome == "failed", result.output
    assert "restart web" in result.reasons
