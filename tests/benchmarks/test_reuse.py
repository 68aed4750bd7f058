"""What reusing a Compose stack saves between two drills."""

from __future__ import annotations

import secrets
import statistics
import time
from pathlib import Path

import pytest

from sevdrill.clock import SystemClock
from sevdrill.stacks.compose import ComposeConfig, ComposeStack

pytestmark = [pytest.mark.benchmark, pytest.mark.stack]

# Nothing to wait for, so that starting anew is as quick as it can be.
STACK = """
x-sevdrill: {target: staging}
services:
  db: {image: "debian:bookworm-slim", init: true, command: [sleep, infinity]}
  app: {image: "debian:bookworm-slim", init: true, command: [sleep, infinity]}
"""


def test_a_stack_is_taken_up_again_five_times_as_fast_as_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(STACK, encoding="utf-8")
    config = ComposeConfig((tmp_path / "docker-compose.yml",), f"sevdrill-test-{secrets.token_hex(4)}", tmp_path / "s")

    def ready() -> float:
        """What a session does before each drill, in a process that knows nothing of the stack."""
        stack, began = ComposeStack(config, SystemClock()), time.monotonic()
        if not stack.is_up():
            stack.up()
        return time.monotonic() - began

    made, reused = [], []
    try:
        for _ in range(3):
            began = time.monotonic()
            ComposeStack(config, SystemClock()).down()
            removed = time.monotonic() - began
            # The first time there was nothing to remove.
            made.append(removed + ready())
            reused.append(ready())
    finally:
        ComposeStack(config, SystemClock()).down()
    ratio = statistics.median(made) / statistics.median(reused)
    print(f"reusing a stack is {ratio:.1f} times as fast as making it anew")
    assert ratio >= 5
