"""Mode `observe`: nobody acts, and the system heals itself in time or fails."""

from __future__ import annotations

import json

import pytest
from embedded_root import DRILL, SmallPlace

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize("heals", [True, False])
def test_a_system_that_nobody_helps_must_heal_itself(place: SmallPlace, heals: bool) -> None:
    fault = "service: web, for: 3s}" if heals else "service: web}"
    text = DRILL.replace("service: web}", fault, 1).replace("limit: 15s", "limit: 20s" if heals else "limit: 6s")
    (place.folder / "drills" / "web-down.yml").write_text(text, encoding="utf-8")
    result = place.run("--drill-mode", "observe")
    assert result.outcome == ("passed" if heals else "failed"), (result.reasons, result.output)
    assert result.drill["mode"] == "observe"
    assert result.drill["steps"] == []
    if not heals:
        assert "never mitigated" in result.reasons
        assert "never recovered" in result.reasons
    (timeline,) = result.folder.glob("*/timeline.jsonl")
    kinds = {json.loads(line)["type"] for line in timeline.read_text(encoding="utf-8").splitlines()}
    # Whom the SOP brings in is told in every mode.
    assert not {"step", "person"} & kinds
