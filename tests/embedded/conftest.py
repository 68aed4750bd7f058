from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drill_root import wait_for
from embedded_root import EmbeddedRoot, SmallPlace, processes


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRoot]:
    """One stack for all the runs of these tests; nothing is left of it afterwards."""
    root = EmbeddedRoot(tmp_path_factory.mktemp("embedded"))
    try:
        root.prepare()
        data = root.data()
        yield root
    finally:
        root.down()
    assert not data.exists()
    assert processes(str(data)) == {}


@pytest.fixture
def whole_stack(root: EmbeddedRoot) -> Iterator[EmbeddedRoot]:
    """The stack, and the claim that a test leaves it as it found it."""
    yield root
    assert root.journals() == []
    wait_for(root.stack.is_up, "the stack to be whole again", 30)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SmallPlace]:
    place = SmallPlace(tmp_path)
    try:
        yield place
        wait_for(lambda: place.left() == [], f"nothing to be left: {place.left()}", 10)
        assert place.journals() == []
    finally:
        for stack in (tmp_path / ".sevdrill" / "stacks").glob("*"):
            place.cli("down", stack.name)
