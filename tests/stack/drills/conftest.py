from __future__ import annotations

from collections.abc import Iterator

import pytest
from drill_root import DrillRoot, docker


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, engine: object) -> Iterator[DrillRoot]:
    """One stack for all the runs of a module; nothing is left of it afterwards."""
    root = DrillRoot(tmp_path_factory.mktemp("drills"))
    try:
        yield root
    finally:
        root.down()
    left = docker("ps", "-aq", "--filter", f"label=sevdrill.project={root.project}")
    left += docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={root.project}")
    left += docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={root.project}")
    assert left == ""


@pytest.fixture
def whole_stack(root: DrillRoot) -> Iterator[DrillRoot]:
    """The stack, and the claim that a test leaves it as it found it."""
    yield root
    assert root.journals() == []
