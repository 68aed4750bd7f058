"""What every test leaves as it found it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from sevdrill.masking import MASKER

# What tests start is no worker of the run that they are in: it has the stack's own name, and folders of its own.
for _name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
    del os.environ[_name]

# Broken on purpose.
collect_ignore = ["corpus"]


@pytest.fixture(autouse=True)
def _what_the_process_keeps() -> Iterator[None]:
    """Secrets that one test's stack has are no secrets in the next one, and no signal handler outlives its test."""
    learnt = dict(vars(MASKER))
    known = {name: set(value) for name, value in learnt.items() if isinstance(value, set)}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    vars(MASKER).update(learnt | known)
    left = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert left == handlers, "this test left a signal handler behind"
