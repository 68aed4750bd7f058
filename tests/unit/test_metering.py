"""What replicas use during a run: looked at often, never in a drill's way; and how the report shows it."""

from __future__ import annotations

import html
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looked_at import DRILL, MIB, USED, case
from made_up import incident

from sevdrill.errors import StackError
from sevdrill.metering import USAGE, Meter, Use, begin_metering
from sevdrill.ports import Evidence, Ports
from sevdrill.reports.html import report_page
from sevdrill.reports.resources import resources
from sevdrill.stacks.embedded import tree
from sevdrill.stacks.embedded.evidence import EmbeddedEvidence
from sevdrill.stacks.evidence import ComposeEvidence


class Stack:
    """Made-up use; the clock goes on by a second at each look."""

    def __init__(self, uses: Callable[[int], dict[str, Use]], looks: int) -> None:
        self._uses, self._left, self._count = uses, looks, itertools.count()
        self.time, self.enough = 0.0, threading.Event()

    def uses(self) -> dict[str, Use]:
        number = next(self._count)
        if number >= self._left:
            self.enough.set()
            threading.Event().wait()  # as an engine that does not answer; nobody may wait for it
        self.time += 1
        return self._uses(number)


def metered(uses: Callable[[int], dict[str, Use]], looks: int, most: int = 300) -> dict[str, Any]:
    stack = Stack(uses, looks)
    meter = Meter(stack, lambda: stack.time, every=0.0, most=most)
    meter._ended.wait = lambda timeout=None: meter._ended.is_set()  # type: ignore[method-assign] # no pause: quick
    meter.start()
    assert stack.enough.wait(30)
    meter.end()
    return meter.document()


def test_each_look_has_its_time_and_what_does_not_run_has_a_gap() -> None:
    found = metered(lambda n: {"app-1": Use(n, n / 2, 1), **({} if n == 1 else {"db-1": Use(9, 1.0, None)})}, 3)
    assert found["at"] == [0.5, 1.5, 2.5]
    assert found["replicas"]["app-1"] == {
        "memory": [0, 1, 2],
        "processor_seconds": [0.0, 0.5, 1.0],
        "processes": [1, 1, 1],
    }
    assert found["replicas"]["db-1"]["memory"] == [9, None, 9]


def test_a_long_run_is_kept_whole_in_few_looks() -> None:
    found = metered(lambda n: {"app-1": Use(n, None)}, 5000, most=100)
    assert 50 <= len(found["at"]) <= 100
    assert found["at"][0] == 0.5
    assert found["at"][-1] > 4900
    assert found["at"] == sorted(found["at"])
    assert [round(at - 0.5) for at in found["at"]] == found["replicas"]["app-1"]["memory"]


def test_looks_that_fail_are_counted_and_end_nothing() -> None:
    def uses(number: int) -> dict[str, Use]:
        if number % 2:
            raise StackError("no engine answers")
        return {"app-1": Use(1, 1.0)}

    found = metered(uses, 6)
    assert (len(found["at"]), found["missed"], found["why_missed"]) == (3, 3, "StackError: no engine answers")


def test_a_stack_that_cannot_tell_is_not_asked() -> None:
    class Mute:
        def collect(self, folder: Path, since: object) -> list[Path]:
            return []

    assert begin_metering(Ports({}), lambda: 0.0) is None
    assert begin_metering(Ports({Evidence: Mute()}), lambda: 0.0) is None


@pytest.mark.parametrize("evidence", [ComposeEvidence, EmbeddedEvidence])
def test_our_stacks_can_tell(evidence: type) -> None:
    assert callable(evidence.uses)


def test_a_family_of_processes_is_counted_as_one() -> None:
    hold = "import time; x = b'x' * (24 << 20); print('up', flush=True); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            families = tree.families({"web-1": process.pid, "gone-1": 2**22 + 1})
            alone, together = tree.used([process.pid]), tree.used(families["web-1"])
            assert alone is not None
            assert together is not None
            assert (alone[2], together[2]) == (1, 2)
            assert together[0] - alone[0] > 20 * MIB
            assert together[1] >= alone[1]
            assert tree.used(families["gone-1"]) is None
        finally:
            for pid in (*tree.descendants(process.pid), process.pid):
                os.kill(pid, 9)


def written(folder: Path, document: Any) -> Path:
    (folder / "evidence").mkdir()
    (folder / "evidence" / USAGE).write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_the_report_shows_what_was_used_before_at_most_and_at_the_end(tmp_path: Path) -> None:
    # Injected at 10, recovered at 18; the database is away in between and begins anew.
    made = case(incident(DRILL), written(tmp_path, USED))
    app, db = resources(made)["rows"]
    assert {key: app["memory"][key] for key in ("before", "most", "last")} == {
        "before": "100 MiB",
        "most": "300 MiB",
        "last": "120 MiB",
    }
    assert (app["processor"]["before"], app["processor"]["most"]) == ("25%", "325%")
    assert (db["memory"]["last"], len(db["memory"]["curves"])) == ("does not run", 2)
    # What began anew has not used less than nothing.
    assert (db["processor"]["before"], db["processor"]["most"]) == ("0%", "10%")
    page = report_page(made)
    assert "<svg" in page
    assert "StackError: &lt;b&gt;" in page
    assert "2 more failed" in page
    assert "300 MiB" in html.unescape(page)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"at": 1},
        {"at": [], "replicas": {}},
        {"at": [1], "replicas": {"x": {"memory": [1, 2], "processor_seconds": [1]}}},
        {"at": ["x"], "replicas": {}},
    ],
)
def test_without_measures_the_report_is_silent(tmp_path: Path, document: Any) -> None:
    assert 'id="resources"' not in report_page(case(incident(DRILL), written(tmp_path, document)))
