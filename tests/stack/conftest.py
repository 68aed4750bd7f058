"""What stack tests share."""

import os
import subprocess

import pytest

from sevdrill.errors import EngineUnavailable
from sevdrill.stacks.engine import Engine


@pytest.fixture(scope="session")
def engine():
    """The container engine; without one these tests are skipped, except in CI, where they must run."""
    try:
        found = Engine.locate()
        found.check()
    except EngineUnavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the stack tests: {error}")
        pytest.skip(str(error))
    for image in ("debian:bookworm-slim", "ghcr.io/shopify/toxiproxy:2.12.0"):
        if found.image_ports(image) is None:
            subprocess.run(["docker", "pull", "-q", image], check=True, timeout=600)
    return found
