"""Whoever is killed, whenever: nothing lives on, and nothing is left on the disk."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from drill_root import wait_for
from embedded_root import CONFTEST, SMALL, EmbeddedRoot, SmallPlace, processes

from sevdrill.ports import Lifecycle

pytestmark = pytest.mark.embedded

AT_ONCE = 5.0
"""Seconds within which everything must be gone."""


def in_phase(place: SmallPlace, phase: str, *options: str):
    """A run that has come to a phase of its drill."""
    mark = place.folder / "mark"
    process = place.start(*options, MARK=f"{phase} {mark}")
    wait_for(lambda: mark.exists() or process.poll() is not None, f"phase {phase}", 30)
    assert process.poll() is None, process.communicate()[0]
    return process


def supervisor(place: SmallPlace) -> int:
    [file] = (place.folder / ".sevdrill" / "stacks").glob("*/embedded.json")
    return int(json.loads(file.read_text())["pid"])


@pytest.mark.parametrize("phase", ["steady", "detect", "recover"])
def test_a_runner_that_is_killed_takes_everything_with_it(place: SmallPlace, phase: str) -> None:
    process = in_phase(place, phase)
    assert len(place.left()) > 5
    process.kill()
    wait_for(lambda: place.left() == [], f"nothing to be left: {place.left()}", AT_ONCE)
    process.communicate()
    # The watchdog finds nothing to heal: what was broken is gone, and everything with it.
    wait_for(lambda: place.journals() == [], "the watchdog to close the journal", 20)
    assert "Traceback" not in (place.folder / ".sevdrill" / "watchdog.log").read_text()


def test_a_supervisor_that_is_killed_takes_its_children_with_it(place: SmallPlace) -> None:
    process = in_phase(place, "steady")
    owner = supervisor(place)
    mains = [pid for pid in processes(str(place.temporary)) if _parent(pid) == owner]
    assert mains
    os.kill(owner, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in mains), "its children to be gone", AT_ONCE)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    # What was not its child, and the folder, went when the stack was taken down.
    assert place.left() == []


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_what_is_left_of_a_killed_pair_goes_at_the_next_start(place: SmallPlace) -> None:
    process = in_phase(place, "steady")
    owner, children = supervisor(place), processes(str(place.temporary))
    mains = [pid for pid in children if _parent(pid) == owner]
    assert len(mains) > 2
    watchdog = [pid for pid, command in processes(str(place.folder)).items() if "sevdrill.watchdog" in command]
    for pid in (*watchdog, process.pid, owner):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in mains), "the kernel to end the services", AT_ONCE)
    assert list(place.temporary.glob("sevdrill-*")), "nobody was left who could have removed it"
    result = place.run()
    assert result.outcome == "passed", result.output
    assert place.left() == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_a_kept_stack_outlives_its_runner_and_is_healed(place: SmallPlace) -> None:
    process = in_phase(place, "detect", "--drill-project", "kept")
    process.kill()
    process.communicate()
    lifecycle = place.stack("kept").ports()[Lifecycle]
    wait_for(lambda: all(r.healthy for r in lifecycle.replicas("web")), "the watchdog to start web again", 30)
    wait_for(lambda: place.journals() == [], "the watchdog to close the journal", 20)
    result = place.run("--drill-project", "kept")
    assert result.outcome == "passed", result.output
    assert "stack kept is left up" in result.output
    assert place.cli("down", "kept").returncode == 0
    assert place.left() == []


def test_a_stack_that_is_to_stay_up_goes_with_a_runner_that_dies_before_it_is_up(place: SmallPlace) -> None:
    place.compose(SMALL.replace('command: [python, web.py, "{port:8080}"]', 'command: [sleep, "99"]'))
    process = place.start("--drill-project", "kept")
    wait_for(lambda: any("sleep 99" in command for command in processes(str(place.temporary)).values()), "web", 30)
    process.kill()
    process.communicate()
    wait_for(lambda: place.left() == [], f"nothing to be left: {place.left()}", AT_ONCE)
    wait_for(lambda: place.journals() == [], "the watchdog to close the journal", 20)


def test_backends_of_postgresql_do_not_outlive_the_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = EmbeddedRoot(tmp_path)
    conftest = tmp_path / "conftest.py"
    conftest.write_text(conftest.read_text(encoding="utf-8") + CONFTEST, encoding="utf-8")
    temporary, mark = tmp_path / "tmp", tmp_path / "mark"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("MARK", f"steady {mark}")
    path = root.drill("database-down.yml")
    # A stack of its own: one with a name would stay up.
    process = root.start(path, "--drill-project", "")
    wait_for(lambda: mark.exists() or process.poll() is not None, "users who are served", 60)
    assert process.poll() is None, process.communicate()[0]
    [data] = temporary.glob("sevdrill-*")
    # They overwrite their environment, and each has a session of its own; their postmaster names the folder.
    [postmaster] = [
        pid
        for pid, command in processes(str(data)).items()
        if command.startswith("postgres ") or "/postgres " in command
    ]
    backends = [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
    assert len(backends) > 5
    process.kill()
    wait_for(
        lambda: not data.exists() and not any(Path(f"/proc/{pid}").exists() for pid in (postmaster, *backends)),
        "everything to be gone",
        AT_ONCE,
    )
    process.communicate()
    wait_for(lambda: root.journals() == [] and processes(str(temporary)) == {}, "the watchdog to end", 20)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(place: SmallPlace, how: signal.Signals) -> None:
    process = in_phase(place, "detect")
    process.send_signal(how)
    output, _ = process.communicate(timeout=60)
    assert "ABORTED: Web down" in output, output
    assert place.left() == []
