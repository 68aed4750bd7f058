"""One suite for both servers: what is written here holds for the built-in Toxiproxy and for the real one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import toxiproxies
from deviations import DEVIATIONS
from toxiproxies import Server, Way

NAMES = (f"way-{number}" for number in itertools.count())


@pytest.fixture(scope="session", params=["built-in", pytest.param("real", marks=pytest.mark.stack)])
def any_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "built-in":
        with toxiproxies.built_in() as server:
            yield server
    else:
        with toxiproxies.real(tmp_path_factory.mktemp("toxiproxy")) as server:
            yield server


@pytest.fixture
def server(any_server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server; a test that the real one is known to fail must fail there, or is not run."""
    deviation = DEVIATIONS.get(request.node.originalname)
    if any_server.kind == "real" and deviation is not None:
        if not deviation.run:
            pytest.skip(f"known of the real server: {deviation.why}")
        request.applymarker(pytest.mark.xfail(reason=deviation.why, strict=True))
    yield any_server
    for name in any_server.ok("GET", "/proxies"):
        any_server("DELETE", f"/proxies/{quote(name)}")


@pytest.fixture
def way(server: Server) -> Iterator[Way]:
    with toxiproxies.way(server, next(NAMES)) as opened:
        yield opened
