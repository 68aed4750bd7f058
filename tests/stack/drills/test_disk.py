"""The drill "Disk full", shown both ways; and that only old temporary files go."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from sabotage import SabotagedRoot, own_stack, without_alert

from sevdrill.actions.disk import FreeDisk
from sevdrill.clock import SystemClock
from sevdrill.errors import FaultError
from sevdrill.faults import State
from sevdrill.faults.resource import DiskFill
from sevdrill.ports import Endpoints, Ports
from sevdrill.resources import Files
from sevdrill.stacks.compose import ComposeStack

pytestmark = pytest.mark.stack

NAME = "disk-full.yml"
SHORT = (r"^limit: .*", "limit: 24s")
STEP = r"  - \{action: free-disk.*\n"
JOB = r"  - \{action: flag.*\n"
FOLDER, KEPT = "/var/lib/shop/tmp", "/var/lib/shop/uploads"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, engine: object) -> Iterator[SabotagedRoot]:
    yield from own_stack(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def ports(root: SabotagedRoot) -> Iterator[Ports]:
    """The stack's ports; a test must leave no temporary file."""
    stack = ComposeStack.named(root.project, root.folder / ".sevdrill", SystemClock())
    yield stack.ports()
    assert leftovers(stack.ports()) == []


def leftovers(ports: Ports) -> list[str]:
    # The app's own come and go: it tries every half second whether there is room.
    return [file.path for file in ports[Files].find("app", FOLDER) if "/upload-" not in file.path]


def upload(ports: Ports, key: str, content: bytes) -> int:
    url = ports[Endpoints].url(f"http://app:3000/uploads/{key}")
    request = urllib.request.Request(url, content, method="PUT")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_unsabotaged_it_passes_and_the_alert_comes_before_the_harm(root: SabotagedRoot) -> None:
    result = root.run(root.drill(NAME))
    assert result.outcome == "passed", result.output
    checks = {check["check"]: check for check in result.drill["checks"]}
    before = next(check for title, check in checks.items() if "before users felt it" in title)
    assert before["result"] == "holds"


def test_without_its_alert_it_fails(root: SabotagedRoot, ports: Ports) -> None:
    path = root.drill(NAME, SHORT)
    with without_alert(root, "DiskFilling"):
        result = root.run(path)
    assert result.outcome == "failed", result.output
    assert "never fired" in result.reasons


def test_an_alert_that_comes_with_the_harm_is_too_late(root: SabotagedRoot, ports: Ports) -> None:
    # Full at once: nobody could have prevented anything.
    result = root.run(root.drill(NAME, (r"^.*leave: 6MiB.*\n", ""), (r", after: 10s", "")))
    assert result.outcome == "failed", result.output
    assert "before users felt it" in result.reasons


def test_without_its_step_nothing_recovers(root: SabotagedRoot, ports: Ports) -> None:
    result = root.run(root.drill(NAME, (STEP, ""), (JOB, ""), SHORT))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons


def test_a_fault_that_does_nothing_is_invalid(root: SabotagedRoot, ports: Ports) -> None:
    result = root.run(root.drill(NAME), sabotage="no-op")
    assert result.outcome == "invalid", result.output
    assert "the fault had no effect" in result.reasons


def test_a_runbook_that_clears_the_wrong_folder_fails_for_lost_uploads(root: SabotagedRoot, ports: Ports) -> None:
    wrong = r"  - {action: free-disk, service: app, folder: /var/lib/shop, older_than: 0ms}\n"
    result = root.run(root.drill(NAME, (STEP, wrong)))
    assert result.outcome == "failed", result.output
    check = next(check for check in result.drill["checks"] if "lost" in check["check"])
    assert check["result"] == "broken"


def test_full_is_said_clearly_and_only_old_temporary_files_go(root: SabotagedRoot, ports: Ports) -> None:
    step = FreeDisk(action="free-disk", service="app", folder=FOLDER, older_than="1h")
    fault = DiskFill(fault="resource.disk-fill", service="app", folder=FOLDER, leave="0B")
    assert upload(ports, "kept", b"k" * 2048) == 201
    young = f"{FOLDER}/preview-young.tmp"
    ports[Files].fill("app", young, 4096, 60)
    ports[Files].fill("app", f"{KEPT}/old", 4096, 7200)
    record = fault.prepare(ports)
    try:
        assert fault.state(ports, record) is State.OFF
        fault.inject(ports, record)
        assert fault.state(ports, record) is State.ON
        assert upload(ports, "refused", b"r" * 8192) == 507
        assert step.proof(ports, {}).ok is False
        step.run(ports, {})
        assert step.proof(ports, {}).ok
        assert fault.state(ports, record) is State.OFF
        left = {file.path for file in ports[Files].find("app", "/var/lib/shop")}
        assert {young, f"{KEPT}/old", f"{KEPT}/kept"} <= left
        assert f"{KEPT}/refused" not in left
        assert upload(ports, "again", b"a" * 8192) == 201
    finally:
        ports[Files].remove("app", [young, f"{KEPT}/old", f"{KEPT}/kept", f"{KEPT}/again"])
        # From the record alone, also twice.
        fault.undo(ports, record)
        fault.undo(ports, record)


def test_a_disk_that_is_not_of_a_fixed_size_is_never_filled(ports: Ports) -> None:
    fault = DiskFill(fault="resource.disk-fill", service="db", folder="/var/tmp", leave="1MiB", at_most="16MiB")
    with pytest.raises(FaultError, match="at most 16MiB are written"):
        fault.prepare(ports)
