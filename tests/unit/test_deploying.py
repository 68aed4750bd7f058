"""A release that goes forward: refused where it changes nothing, done when every replica answers with it."""

from __future__ import annotations

import pytest

from sevdrill.actions.release import Deploy
from sevdrill.errors import ActionError
from sevdrill.ports import Address, Endpoints, Lifecycle, Ports, Release, Replica


class Releases:
    """A service of two replicas that nobody can reach."""

    def __init__(self, *runs: str) -> None:
        self.runs = list(runs)

    def ports(self) -> Ports:
        return Ports({Release: self, Lifecycle: self, Endpoints: self})

    def releases(self, service: str) -> dict[str, str]:
        return {"1.0": "app:1.0", "1.1": "app:1.1"}

    def deployed(self, service: str) -> dict[str, str]:
        return {f"{service}-{n}": release for n, release in enumerate(self.runs)}

    def deploy(self, service: str, release: str) -> None:
        self.runs = [release] * len(self.runs)

    def replicas(self, service: str) -> list[Replica]:
        return [Replica(name, service, running=True) for name in self.deployed(service)]

    def direct(self, service: str, port: int) -> dict[str, Address]:
        return {name: Address("127.0.0.1", 1) for name in self.deployed(service)}


def step(release: str) -> Deploy:
    return Deploy(action="deploy", service="app", release=release, answers="http://app:3000/version")


def test_what_changes_nothing_is_no_step() -> None:
    with pytest.raises(ActionError, match=r"no such release \(there are: 1\.0, 1\.1\)"):
        step("1.2").prepare(Releases("1.0", "1.0").ports())
    with pytest.raises(ActionError, match="every replica runs it already"):
        step("1.0").prepare(Releases("1.0", "1.0").ports())


def test_it_is_done_when_every_replica_answers_with_it() -> None:
    releases = Releases("1.0", "1.0")
    record = step("1.1").prepare(releases.ports())
    assert step("1.1").proof(releases.ports(), record).why == "app runs 1.0, not 1.1"
    step("1.1").run(releases.ports(), record)
    assert releases.runs == ["1.1", "1.1"]
    # It runs everywhere, and still nobody has answered.
    assert step("1.1").proof(releases.ports(), record).ok is False
