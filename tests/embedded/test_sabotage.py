"""One drill of each family of faults, broken for real; `make sabotage` breaks every part of every drill."""

from __future__ import annotations

import pytest
from embedded_root import EmbeddedRoot
from matrix import Place, Sabotage, sabotages, scenario_of
from recording import DRILLS

pytestmark = pytest.mark.embedded

ARCHETYPES = {
    "change": "bad-config-rollback",
    "load": "load-spike",
    "network": "provider-slow",
    "provider": "provider-rate-limited",
}
ELSEWHERE = {
    "container": "test_honesty.py, and tests/stack",
    "database": "test_database_honesty.py",
    "queue": "test_provider_honesty.py",
    "resource": "tests/stack/drills/test_disk.py",
}
"""Families whose archetype is sabotaged by tests of its own."""
LIMIT = {"load": 30}
"""Seconds, where it is not 15: long enough for the drill to recover if it could."""
WANTED = {
    "step": ("failed", "never recovered"),
    "alert": ("failed", "never fired"),
    "fault": ("invalid", "the fault had no effect"),
}


def of(family: str, group: str) -> Sabotage:
    """The first sabotage of this group that the matrix makes of the family's archetype."""
    name = ARCHETYPES[family]
    scenario = scenario_of(name)
    assert scenario is not None
    found = next(each for each in sabotages(name, scenario) if each.group == group)
    return found._replace(plan={**found.plan, "limit": LIMIT.get(family, 15)})


def test_every_family_of_faults_has_its_archetype() -> None:
    families = set()
    for name in DRILLS:
        scenario = scenario_of(name)
        assert scenario is not None, f"{name} has no recording; `make recordings` makes those that are missing"
        families |= {fault.fault.partition(".")[0] for fault in scenario.inject}
    assert sorted(families - set(ARCHETYPES) - set(ELSEWHERE)) == [], "name a drill of each in ARCHETYPES"


@pytest.mark.parametrize(
    ("family", "group"),
    [
        ("change", "step"),
        ("change", "alert"),
        ("load", "step"),
        ("network", "step"),
        ("provider", "step"),
        ("provider", "fault"),
    ],
)
def test_what_is_broken_does_not_pass(whole_stack: EmbeddedRoot, family: str, group: str) -> None:
    ran = Place(whole_stack).run(of(family, group))
    outcome, reason = WANTED[group]
    assert ran.outcome == outcome, (ran.sabotage.what, ran.reasons)
    assert reason in ran.reasons
