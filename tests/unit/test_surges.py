"""More users for a while: asked for in a file, whoever asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sevdrill.errors import FaultError
from sevdrill.faults import State
from sevdrill.faults.load import LoadSpike
from sevdrill.ports import Load, Ports
from sevdrill.surges import Surge, follow
from sevdrill.units import Duration

LIVES = "import sys; from pathlib import Path; from sevdrill.surges import Surge; Surge(Path(sys.argv[1])).live()(40)"


class Users:
    """Of the port `Load`, how many users there are; `look` is what their generator does every moment."""

    users = 4

    def __init__(self, folder: Path) -> None:
        self.folder, self.there = folder, self.users
        self.look = follow(Surge(folder), self.users, lambda: self.there, self._change)

    def _change(self, users: int) -> None:
        self.there = users


def test_a_spike_comes_and_goes(tmp_path: Path) -> None:
    users = Users(tmp_path)
    ports, spike = Ports({Load: users}), LoadSpike(fault="load.spike", times=10)
    record = spike.prepare(ports)
    users.look()
    assert spike.state(ports, record) is State.OFF
    spike.inject(ports, record)
    users.look()
    # Asked for is not yet there: the number is that of the look before.
    assert (users.there, spike.state(ports, record)) == (40, State.UNKNOWN)
    users.look()
    assert spike.state(ports, record) is State.ON
    # From its record alone, as a watchdog does it.
    spike.undo(Ports({}), record)
    assert spike.state(Ports({}), record) is State.UNKNOWN
    users.look()
    users.look()
    assert (users.there, spike.state(Ports({}), record)) == (4, State.OFF)
    spike.undo(Ports({}), record)


def test_of_a_generator_that_died_no_users_are_left(tmp_path: Path) -> None:
    surge = Surge(tmp_path)
    spike, record = LoadSpike(fault="load.spike", times=10), {"folder": str(tmp_path), "usual": 4}
    subprocess.run([sys.executable, "-c", LIVES, tmp_path], check=True)
    surge.begin(40, 60)
    assert surge.users() == 0
    assert spike.state(Ports({}), record) is State.UNKNOWN
    spike.undo(Ports({}), record)
    assert spike.state(Ports({}), record) is State.OFF


def test_a_crowd_goes_by_itself_after_its_time(tmp_path: Path) -> None:
    users = Users(tmp_path)
    spike = LoadSpike(fault="load.spike", times=10, most=Duration(0))
    spike.inject(Ports({}), spike.prepare(Ports({Load: users})))
    users.look()
    assert users.there == 4


def test_more_than_are_let_in_are_refused(tmp_path: Path) -> None:
    spike = LoadSpike(fault="load.spike", times=10, at_most=39)
    with pytest.raises(FaultError, match="40 users would come, and at most 39 are let in"):
        spike.prepare(Ports({Load: Users(tmp_path)}))
    assert list(tmp_path.glob("surge*")) == []
