"""The drills "Provider slow" and "Provider rate limited", shown both ways; half of the quick fix is no cure."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from drill_root import interrupt, wait_for
from sabotage import SabotagedRoot, own_stack, without_alert

from sevdrill.clock import SystemClock
from sevdrill.ports import Admin, Endpoints, Ports, Proxies
from sevdrill.stacks.compose import ComposeStack

pytestmark = pytest.mark.stack

SLOW, LIMITED = "provider-slow.yml", "provider-rate-limited.yml"
DRILLS = [SLOW, LIMITED]
SHORT = (r"^limit: .*", "limit: 16s")
ALERT = {SLOW: "SlowResponses", LIMITED: "ProviderRateLimited"}
FLAG, THROTTLE, KEY = (rf"  - \{{action: {kind}.*\n" for kind in ("flag", "throttle", "switch-key"))
REVERT_FLAG, REVERT_THROTTLE, REVERT_KEY = (
    rf"  - \{{action: revert, step: {kind}\}}\n" for kind in ("flag", "throttle", "switch-key")
)
BREAK, REVERT_BREAK = r"  - \{action: circuit-break.*\n", r"  - \{action: revert, step: circuit-break\}\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, engine: object) -> Iterator[SabotagedRoot]:
    yield from own_stack(tmp_path_factory.mktemp("provider"))


@pytest.fixture
def as_before(root: SabotagedRoot) -> Iterator[Callable[[], bool]]:
    """Whether the stack's settings and proxies are as a new stack's; a test must leave them so."""

    def look() -> bool:
        ports = stack_ports(root)
        app, provider = ports[Admin].settings("app"), ports[Admin].settings("provider")
        wanted = {
            "breaker.provider": "closed",
            "key.provider": "primary",
            "throttle.chat": "off",
            "flag.suggestions": "on",
        }
        limits = {"limit.staging-key-1": "off", "limit.staging-key-2": "8/s", "limit.staging-key-3": "off"}
        return (
            [wanted.items() <= replica.items() for replica in app.values()] == [True] * 2
            and [limits.items() <= replica.items() for replica in provider.values()] == [True]
            and ports[Proxies].toxics("provider") == {"4000": []}
        )

    yield look
    assert look()
    assert root.journals() == []


def stack_ports(root: SabotagedRoot) -> Ports:
    return ComposeStack.named(root.project, root.folder / ".sevdrill", SystemClock()).ports()


def chat(ports: Ports) -> dict[str, Any]:
    url = ports[Endpoints].url("http://app:3000/chat")
    request = urllib.request.Request(url, b'{"message": "Hello?"}', {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
        return dict(json.load(answer))


@pytest.mark.parametrize("name", DRILLS)
def test_unsabotaged_it_passes(root: SabotagedRoot, as_before: Callable[[], bool], name: str) -> None:
    result = root.run(root.drill(name))
    assert result.outcome == "passed", result.output
    assert result.code == 0
    lines = root.timeline(result)
    undone = [line["t"] for line in lines if line["type"] == "fault" and line["event"] == "undone"]
    closing = next(line["t"] for line in lines if line["type"] == "phase" and line["name"] == "close")
    assert undone
    assert min(undone) > closing, "it recovered while the fault was still on"


@pytest.mark.parametrize("name", DRILLS)
def test_without_its_alert_it_fails(root: SabotagedRoot, as_before: Callable[[], bool], name: str) -> None:
    path = root.drill(name, SHORT)
    with without_alert(root, ALERT[name]):
        result = root.run(path)
    assert result.outcome == "failed", result.output
    assert "never fired" in result.reasons


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        pytest.param(SLOW, [BREAK, REVERT_BREAK], id="slow, no breaker"),
        pytest.param(LIMITED, [FLAG, THROTTLE, REVERT_FLAG, REVERT_THROTTLE], id="limited, key alone"),
        pytest.param(LIMITED, [KEY, REVERT_KEY], id="limited, throttle and flag alone"),
        pytest.param(LIMITED, [FLAG, REVERT_FLAG], id="limited, feature left on"),
        pytest.param(LIMITED, [THROTTLE, REVERT_THROTTLE], id="limited, no throttle"),
    ],
)
def test_without_one_of_its_steps_nothing_recovers(
    root: SabotagedRoot, as_before: Callable[[], bool], name: str, removed: list[str]
) -> None:
    result = root.run(root.drill(name, *((step, "") for step in removed), SHORT))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons


@pytest.mark.parametrize("name", DRILLS)
def test_a_fault_that_does_nothing_is_invalid(root: SabotagedRoot, as_before: Callable[[], bool], name: str) -> None:
    result = root.run(root.drill(name), sabotage="no-op")
    assert result.outcome == "invalid", result.output
    assert "the fault had no effect" in result.reasons


@pytest.mark.parametrize("name", DRILLS)
def test_what_is_not_switched_back_fails_and_is_undone_in_the_end(
    root: SabotagedRoot, as_before: Callable[[], bool], name: str
) -> None:
    result = root.run(root.drill(name, (r"  - \{action: (heal|revert).*\n", "")))
    assert result.outcome == "failed", result.output
    assert [reason for reason in result.drill["reasons"] if "not in its place: heal" not in reason] == []
    undone = [line["fault"] for line in root.timeline(result) if line["type"] == "fault" and line["event"] == "undone"]
    kinds = {SLOW: ["circuit-break"], LIMITED: ["switch-key", "throttle", "flag"]}
    assert undone[1:] == kinds[name], "the fault first, then the steps, the last one first"


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_killed_run_leaves_no_step_behind(root: SabotagedRoot, as_before: Callable[[], bool], how: str) -> None:
    # An alert that nobody waits for in vain, and a recovery that never comes: the steps are done, and it is waited for.
    path = root.drill(LIMITED, (KEY, ""), (REVERT_KEY, ""))
    before = root.timelines()
    process = root.start(path)
    try:
        wait_for(lambda: len(root.timelines() - before) == 1 or process.poll() is not None, "a timeline", 120)
        assert process.poll() is None, process.communicate()[0]
        timeline = (root.timelines() - before).pop()

        def recovering() -> bool:
            return any(line["type"] == "phase" and line["name"] == "recover" for line in root.lines(timeline))

        wait_for(lambda: recovering() or process.poll() is not None, "the steps", 60)
        assert not as_before()
        interrupt(process, how)
        result = root.finish(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert result.code != 0
    wait_for(as_before, "every step to be undone", 30 if how == "SIGKILL" else 1)
    wait_for(lambda: root.journals() == [], "every debt to be paid", 60)


def test_the_open_breaker_answers_clearly_and_asks_nobody(root: SabotagedRoot, as_before: Callable[[], bool]) -> None:
    ports = stack_ports(root)
    assert chat(ports)["suggestions"]
    ports[Admin].change("app", "breaker.provider", "open")
    ports[Proxies].set_down("provider", down=True)
    try:
        answer = chat(ports)
    finally:
        ports[Proxies].set_down("provider", down=False)
        ports[Admin].change("app", "breaker.provider", "closed")
    assert answer["degraded"] == "breaker"
    assert "Orders work" in answer["reply"]
