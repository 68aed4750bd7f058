"""What a drill takes of its own, beside its waiting for the stack."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
from toy_run import Run
from toy_stack import ToyStack

from sevdrill.judge import Outcome
from sevdrill.rejudging import review

pytestmark = pytest.mark.benchmark(cheap=True)


def test_engine_judge_and_reports_take_less_than_a_third_of_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sevdrill.undo.APART", 0.03)
    taken = []
    for turn in range(3):
        run = Run(tmp_path / str(turn), ToyStack())
        # Whatever is awaited is awaited asleep, so that processor time is what the drill itself takes.
        began = time.process_time()
        run.engine.run()
        run.writer.close()
        result = review(run.writer.path.parent)
        taken.append(time.process_time() - began)
        assert result.verdict.outcome is Outcome.PASSED
        assert (result.folder / "postmortem.md").exists()
    print(f"a drill takes {statistics.median(taken[1:]) * 1000:.0f} ms of its own")
    assert statistics.median(taken[1:]) < 0.3
