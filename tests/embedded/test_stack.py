"""What an embedded stack can do with its processes, asked of the processes themselves."""

from __future__ import annotations

import itertools
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from drill_root import wait_for
from embedded_root import SMALL, SmallPlace, processes

from sevdrill.clock import SystemClock
from sevdrill.errors import StackError
from sevdrill.ports import Endpoints, Exec, Lifecycle, Ports, Proxies
from sevdrill.stacks.embedded.stack import EmbeddedConfig, EmbeddedStack

pytestmark = pytest.mark.embedded

PROJECTS = (f"sevdrill-test-{os.getpid()}-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SmallPlace:
    return SmallPlace(tmp_path_factory.mktemp("small"))


def embedded(folder: SmallPlace) -> EmbeddedStack:
    config = EmbeddedConfig((folder.folder / "docker-compose.yml",), next(PROJECTS), folder.folder / ".sevdrill")
    return EmbeddedStack(config, SystemClock())


@pytest.fixture(scope="module")
def stack(folder: SmallPlace) -> Iterator[EmbeddedStack]:
    found = embedded(folder)
    found.up()
    data = found.ports()[Endpoints]._control.site.folder  # type: ignore[attr-defined]
    yield found
    found.down()
    assert not data.exists()
    assert processes(str(data)) == {}


@pytest.fixture
def ports(stack: EmbeddedStack) -> Iterator[Ports]:
    """The capabilities of the stack, and the claim that a test leaves it whole."""
    yield stack.ports()
    wait_for(stack.is_up, "the stack to be whole again", 10)


def ask(ports: Ports) -> tuple[int, int]:
    """Process ids of the replica that answers, and of its child."""
    with urllib.request.urlopen(ports[Endpoints].url("http://web:8080/"), timeout=1) as answer:
        own, child = answer.read().split()
    return int(own), int(child)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_replicas_take_turns(ports: Ports) -> None:
    assert len({ask(ports) for _ in range(4)}) == 2


def test_kill_ends_a_replica_with_its_children_and_the_other_answers(ports: Ports) -> None:
    own, child = ask(ports)
    lifecycle = ports[Lifecycle]
    [name] = [name for name, status in lifecycle._control.status().items() if status.pid == own]  # type: ignore[attr-defined]
    lifecycle.kill("web", [name])
    # A dead process keeps its number until it is reaped.
    assert {state(own), state(child)} <= {"", "Z"}
    wait_for(lambda: state(own) == state(child) == "", "both to be reaped", 5)
    assert {r.name: r.running for r in lifecycle.replicas("web")}[name] is False
    assert len({ask(ports) for _ in range(4)}) == 1
    lifecycle.start("web", [name])


def test_a_replica_that_dies_by_itself_takes_its_children_with_it(ports: Ports) -> None:
    own, child = ask(ports)
    os.kill(own, 9)
    wait_for(lambda: state(child) == "", "the child to be gone", 5)
    lifecycle = ports[Lifecycle]
    lifecycle.start("web", [r.name for r in lifecycle.replicas("web") if not r.running])


def test_pause_freezes_the_whole_tree_and_unpause_lets_it_go_on(ports: Ports) -> None:
    own, child = ask(ports)
    lifecycle = ports[Lifecycle]
    names = [r.name for r in lifecycle.replicas("web")]
    lifecycle.pause("web", names)
    # A signal that was sent takes a moment to act.
    wait_for(lambda: state(own) == state(child) == "T", "both to be frozen", 5)
    assert all(r.running and r.paused and r.healthy is False for r in lifecycle.replicas("web"))
    lifecycle.unpause("web", names)
    wait_for(lambda: "T" not in (state(own), state(child)), "both to go on", 5)
    assert ask(ports)


def test_stop_of_a_paused_replica_ends_it(ports: Ports) -> None:
    lifecycle = ports[Lifecycle]
    names = [r.name for r in lifecycle.replicas("web")]
    lifecycle.pause("web", names)
    lifecycle.stop("web", names)
    assert not any(r.running for r in lifecycle.replicas("web"))
    with pytest.raises(OSError, match=r".*"):
        ask(ports)
    lifecycle.start("web", names)


def test_a_proxy_that_is_down_refuses_and_is_mended(stack: EmbeddedStack, ports: Ports) -> None:
    ports[Proxies].set_down("web", down=True)
    assert not stack.is_up()
    with pytest.raises(OSError, match="refused"):
        ask(ports)
    ports[Proxies].set_down("web", down=False)
    assert ask(ports)


def test_a_proxy_process_that_died_is_started_anew(stack: EmbeddedStack, ports: Ports) -> None:
    control = ports[Lifecycle]._control  # type: ignore[attr-defined]
    control.call("kill", name="toxiproxy")
    assert not stack.is_up()
    ports[Proxies].set_down("web", down=False)
    assert ask(ports)


def test_up_brings_a_stack_back_to_how_it_was_started(stack: EmbeddedStack, ports: Ports) -> None:
    lifecycle = ports[Lifecycle]
    names = [r.name for r in lifecycle.replicas("web")]
    before = stack.reach()
    lifecycle.kill("web", names[:1])
    lifecycle.pause("web", names[1:])
    ports[Proxies].set_down("web", down=True)
    stack.up()
    assert stack.is_up()
    assert stack.reach() == before


def test_a_command_runs_in_the_services_environment(ports: Ports) -> None:
    done = ports[Exec].run("watch", ["python", "-c", "import os; print(os.environ['WEB'])"], timeout=10)
    assert done.out.strip() == ports[Endpoints].url("http://web:8080/")
    with pytest.raises(StackError, match="no such program"):
        ports[Exec].run("watch", ["no-such-program"], timeout=10)


def test_two_stacks_at_once_do_not_know_each_other(folder: SmallPlace, ports: Ports) -> None:
    others = [embedded(folder) for _ in range(2)]
    threads = [threading.Thread(target=other.up) for other in others]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        answers = [ask(each) for each in (ports, *(other.ports() for other in others))]
        assert len(set(answers)) == 3
    finally:
        for other in others:
            other.down()
    assert ask(ports)
    assert SMALL
