"""The kinds of the edge: what they put on lists and take away, what a client is shown, and what the checks say."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_up import DATABASE_DOWN, incident, scenario
from pydantic import ValidationError

from sevdrill.actions.edge import Block, RenewCertificate, RouteAway
from sevdrill.actions.evidence import ArchiveLogs
from sevdrill.checks.access import SecretsRotated
from sevdrill.checks.base import Result
from sevdrill.checks.course import NoFailuresAfter
from sevdrill.checks.evidence import LogsPreserved
from sevdrill.checks.setting import SettingIs
from sevdrill.errors import ActionError, FaultError
from sevdrill.faults.base import State
from sevdrill.faults.change import ChangeSetting
from sevdrill.lines import Sample, StepLine, Users
from sevdrill.ports import Admin, Alert, Endpoints, Monitoring, Ports
from sevdrill.probes import tls
from sevdrill.probes.tls import TlsProbe
from sevdrill.timeline import Timeline

STAGING = Path(__file__).resolve().parents[2] / "fixtures" / "staging"
sys.path.insert(0, str(STAGING))
from edge.authority import Authority  # noqa: E402
from edge.exposure import exposed  # noqa: E402
from edge.plane import Plane  # noqa: E402
from edge.rules import Rules  # noqa: E402

sys.path.remove(str(STAGING))

LINES = list(incident(scenario(DATABASE_DOWN)))
TIMELINE = Timeline(LINES)


class Services:
    """Replicas with settings, as the operators' API shows them."""

    def __init__(self, **replicas: dict[str, str]) -> None:
        self.shown = {name.replace("_", "-"): settings for name, settings in replicas.items()}

    def settings(self, service: str) -> dict[str, dict[str, str]]:
        return {name: dict(settings) for name, settings in self.shown.items()}

    def change(self, service: str, setting: str, value: str, replicas: Sequence[str] | None = None) -> None:
        for name in self.shown if replicas is None else replicas:
            if name in self.shown:
                self.shown[name][setting] = value


class Fires:
    def __init__(self, *alerts: Alert) -> None:
        self._alerts = list(alerts)

    def alerts(self) -> list[Alert]:
        return self._alerts


BAD = Alert("BadInstance", {"replica": "app-2"})


# -- lists ------------------------------------------------------------------------------------------------------------


def test_what_an_alert_names_is_routed_away_and_only_that_comes_back() -> None:
    edge = Services(edge={"away.replicas": "app-9"})
    ports = Ports({Admin: edge, Monitoring: Fires(BAD, Alert("Other", {"replica": "app-1"}))})
    step = RouteAway.model_validate({"action": "route-away", "service": "edge", "alert": "BadInstance"})
    record = step.prepare(ports)
    assert step.state(ports, record) is State.OFF
    step.run(ports, record)
    assert edge.shown["edge"]["away.replicas"] == "app-9,app-2"
    assert "app-2" in step.proof(ports, record).why
    step.run(ports, record)
    assert edge.shown["edge"]["away.replicas"] == "app-9,app-2", "once is enough"
    step.undo(ports, record)
    step.undo(ports, record)
    assert edge.shown["edge"]["away.replicas"] == "app-9", "what others put there stays"


def test_a_list_of_which_nothing_is_left_is_as_at_the_start() -> None:
    edge = Services(edge={"denied.addresses": "none"})
    ports = Ports({Admin: edge, Monitoring: Fires()})
    step = Block.model_validate({"action": "block", "service": "edge", "addresses": ["10.0.0.1", "10.0.0.2"]})
    record = step.prepare(ports)
    step.run(ports, record)
    assert edge.shown["edge"]["denied.addresses"] == "10.0.0.1,10.0.0.2"
    edge.change("edge", "denied.addresses", "10.0.0.1")
    assert step.state(ports, record) is State.UNKNOWN
    step.undo(ports, record)
    assert edge.shown["edge"]["denied.addresses"] == "none"


@pytest.mark.parametrize(
    ("alerts", "said"),
    [([], "the alert does not fire"), ([Alert("BadInstance", {})], "the alert fires without it")],
)
def test_an_alert_that_names_nobody_is_an_error_of_the_step(alerts: list[Alert], said: str) -> None:
    ports = Ports({Admin: Services(edge={"away.replicas": "none"}), Monitoring: Fires(*alerts)})
    step = RouteAway.model_validate({"action": "route-away", "service": "edge", "alert": "BadInstance"})
    with pytest.raises(ActionError, match=said):
        step.prepare(ports)


def test_who_is_on_the_list_already_or_no_list_at_all_is_said() -> None:
    step = RouteAway.model_validate({"action": "route-away", "service": "edge", "replicas": ["app-2"]})
    with pytest.raises(ActionError, match=r"app-2 is on away.replicas of edge already"):
        step.prepare(Ports({Admin: Services(edge={"away.replicas": "app-2"})}))
    with pytest.raises(ActionError, match=r"edge has no setting away.replicas"):
        step.prepare(Ports({Admin: Services(edge={})}))


@pytest.mark.parametrize("more", [{}, {"replicas": ["app-2"], "alert": "BadInstance"}])
def test_a_step_either_names_or_asks(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give either what is meant, or the alert that tells it"):
        RouteAway.model_validate({"action": "route-away", "service": "edge", **more})


# -- a setting on some replicas ---------------------------------------------------------------------------------------


def fault(**more: Any) -> ChangeSetting:
    return ChangeSetting.model_validate(
        {"fault": "change.setting", "service": "app", "setting": "prices", "value": "lost", **more}
    )


def test_a_setting_is_changed_on_one_replica_and_put_back_there() -> None:
    app = Services(app_1={"prices": "loaded"}, app_2={"prices": "loaded"})
    ports, broken = Ports({Admin: app}), fault(replicas=1)
    record = broken.prepare(ports)
    broken.inject(ports, record)
    assert app.shown == {"app-1": {"prices": "loaded"}, "app-2": {"prices": "lost"}}
    assert broken.state(ports, record) is State.ON
    check = SettingIs.model_validate(
        {"check": "setting_is", "service": "app", "setting": "prices", "value": "lost", "replicas": 1}
    )
    assert check.judge(check.read(ports), TIMELINE).result is Result.HOLDS
    broken.undo(ports, record)
    assert broken.state(ports, record) is State.OFF
    assert check.judge(check.read(ports), TIMELINE).result is Result.BROKEN
    assert check.judge({"values": {}}, TIMELINE).result is Result.UNKNOWN


def test_a_replica_that_has_gone_took_its_setting_with_it() -> None:
    app = Services(app_1={"prices": "loaded"}, app_2={"prices": "loaded"})
    ports, broken = Ports({Admin: app}), fault(replicas=1)
    record = broken.prepare(ports)
    broken.inject(ports, record)
    del app.shown["app-2"]
    broken.undo(ports, record)
    assert broken.state(ports, record) is State.OFF


def test_more_replicas_than_there_are_are_refused() -> None:
    with pytest.raises(FaultError, match="app has 1 replicas that run, fewer than 2"):
        fault(replicas=2).prepare(Ports({Admin: Services(app_1={"prices": "loaded"})}))


# -- certificates -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.issue(90)
    return made


class Edge:
    """The edge's own plane, on a thread of its own."""

    def __init__(self, authority: Authority, log: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: list[asyncio.Server] = []
        self.log, self._authority = log, authority
        self._plane = Plane("127.0.0.1", 0, log)
        self.apply()
        assert self._plane._server is not None
        self.port = self._plane._server.sockets[0].getsockname()[1]

    def apply(self, **rules: Any) -> None:
        told = Rules(self._authority.certificate, self._authority.key, **{"replicas": {}, **rules})
        asyncio.run_coroutine_threadsafe(self._plane.apply(told), self._loop).result(5)

    def replica(self) -> str:
        """The address of a replica that answers everything with `ok`."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            writer.close()

        starting = asyncio.start_server(serve, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(5)
        self._servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        async def end() -> None:
            await self._plane.stop()
            for server in self._servers:
                server.close()
            # What is open still is waited for, as nothing is left open.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 5)
            await asyncio.sleep(0.1)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def edge(authority: Authority, tmp_path: Path) -> Iterator[Edge]:
    running = Edge(authority, tmp_path / "access.log")
    yield running
    running.stop()


class Where:
    def __init__(self, port: int) -> None:
        self._port = port

    def url(self, url: str) -> str:
        return url.replace("edge:3443", f"127.0.0.1:{self._port}").replace("other:3443", f"127.0.0.1:{self._port}")


def look(edge: Edge, *, name: str = "edge", days: int = 30) -> tuple[bool | None, str]:
    settings = {"probe": "tls", "url": f"https://{name}:3443", "ca": "http://edge:3300/ca.pem", "days": days}
    reading = TlsProbe.model_validate(settings).read(Ports({Endpoints: Where(edge.port)}))
    return reading.ok, reading.why


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "ca_of", lambda _: authority.ca.read_text())


@pytest.mark.usefixtures("trusted")
def test_a_client_is_shown_the_certificate_that_is_served_now(authority: Authority, edge: Edge) -> None:
    assert look(edge) == (True, "good for 90.0 more days")
    assert look(edge, days=100)[0] is False
    authority.issue(-1)
    assert look(edge)[0] is True, "what lies in a file is not what is served"
    edge.apply()
    ok, why = look(edge)
    assert ok is False
    assert "certificate has expired" in why
    authority.issue(90)
    edge.apply()
    assert look(edge)[0] is True


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_is_no_good(edge: Edge) -> None:
    ok, why = look(edge, name="other")
    assert ok is False
    assert "Hostname mismatch" in why


def test_a_certificate_of_an_authority_that_nobody_knows_is_no_good(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Authority(tmp_path / "other")
    stranger.issue(90)
    monkeypatch.setattr(tls, "ca_of", lambda _: stranger.ca.read_text())
    ok, why = look(edge)
    assert ok is False
    assert "the certificate is not good" in why


@pytest.mark.usefixtures("trusted")
def test_a_renewal_that_changes_nothing_is_not_proved(authority: Authority, edge: Edge) -> None:
    authority.issue(-1)
    edge.apply()
    step = RenewCertificate.model_validate(
        {"action": "renew-certificate", "service": "edge", "url": "https://edge:3443", "ca": "http://edge:3300/ca.pem"}
    )
    ports = Ports({Admin: Services(edge={}), Endpoints: Where(edge.port)})
    step.run(ports, {})
    assert step.proof(ports, {}).ok is False
    authority.issue(90)
    edge.apply()
    assert step.proof(ports, {}).ok is True


# -- the edge's own plane ---------------------------------------------------------------------------------------------


def ask(edge: Edge, authority: Authority) -> int:
    import httpx

    with httpx.Client(verify=ssl.create_default_context(cafile=str(authority.ca)), trust_env=False) as client:
        headers = {"Authorization": "Session support-7.secretpart"}
        return client.get(f"https://127.0.0.1:{edge.port}/customers/c-001", headers=headers).status_code


def test_the_plane_turns_away_routes_away_and_writes_no_secret(authority: Authority, edge: Edge) -> None:
    address = edge.replica()
    edge.apply(replicas={address: "app-1", "127.0.0.1:9": "app-2"})
    assert {ask(edge, authority) for _ in range(4)} == {200}, "a replica that cannot be reached costs nobody an answer"
    edge.apply(replicas={address: "app-1"}, away=frozenset({"app-1"}))
    assert ask(edge, authority) == 502
    edge.apply(replicas={address: "app-1"}, denied=frozenset({"127.0.0.1"}))
    assert ask(edge, authority) == 403
    written = edge.log.read_text()
    assert '"credential": "support-7"' in written
    assert "secretpart" not in written


# -- exposure ---------------------------------------------------------------------------------------------------------


def entry(at: float, address: str, path: str, credential: str, status: int = 200) -> dict[str, Any]:
    return {"at": at, "address": address, "path": path, "credential": credential, "status": status}


def test_exposed_is_what_hostile_addresses_and_their_credentials_were_given() -> None:
    log = [
        entry(1, "10.0.0.9", "/customers/c-001", "support-7"),
        entry(2, "10.0.0.9", "/customers/c-002", "support-7", 401),
        entry(3, "10.0.0.9", "/orders", ""),
        entry(4, "10.0.0.9", "/customers/c-500", "partner-3"),
        entry(5, "10.0.0.8", "/customers/c-499", "partner-3"),
        entry(6, "10.0.0.1", "/customers/c-007", "c-007-ab"),
    ]
    assert exposed(log, {"10.0.0.9"}) == ["c-001", "c-499", "c-500"]
    assert exposed(log, {"none"}) == []
    assert exposed([], {"10.0.0.9"}) == []


# -- checks -----------------------------------------------------------------------------------------------------------


def test_every_secret_must_be_rotated_on_every_replica() -> None:
    check = SecretsRotated.model_validate({"check": "secrets_rotated", "services": ["app"]})
    app = Services(app_1={"secret.a": "sha256:1", "flag.x": "as started"}, app_2={"secret.a": "as started"})
    found = check.judge(check.read(Ports({Admin: app})), TIMELINE)
    assert (found.result, found.why) == (Result.BROKEN, "as they were started: secret.a of app-2")
    app.change("app", "secret.a", "sha256:1")
    assert check.judge(check.read(Ports({Admin: app})), TIMELINE).result is Result.HOLDS
    assert check.judge(check.read(Ports({Admin: Services()})), TIMELINE).result is Result.UNKNOWN


def step_line(action: str, why: str = "", t: float = 100.0) -> StepLine:
    like = next(line for line in LINES if isinstance(line, StepLine) and line.event == "ended")
    return like.model_copy(update={"action": action, "why": why, "t": t, "part": "respond", "ok": True})


def test_logs_must_be_those_that_were_kept_and_reach_back() -> None:
    check = LogsPreserved.model_validate({"check": "logs_preserved", "url": "http://edge:3300/admin/archive"})
    kept = Timeline([*LINES, step_line("archive-logs", "9 lines of 47.9 hours, sha256 abc")])
    data = {"sha256": "abc", "lines": 9.0, "from": 0.0, "to": 47.9 * 3600}
    assert check.judge(data, kept).result is Result.HOLDS
    assert check.judge({**data, "sha256": "def"}, kept).result is Result.BROKEN
    assert check.judge({**data, "to": 24.0 * 3600}, kept).result is Result.BROKEN
    assert check.judge(data, TIMELINE).result is Result.BROKEN


def test_an_archive_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sevdrill.actions.evidence.request", lambda *_: (404, "no such page"))
    step = ArchiveLogs.model_validate({"action": "archive-logs", "url": "http://edge:3300/admin/archive"})
    with pytest.raises(ActionError, match=r"answered 404: no such page; expected such as"):
        step.run(Ports({Endpoints: Where(1)}), {})


def sample(start: float, failures: int) -> Sample:
    series = "steady:1:error rate below 1%"
    users = Users(requests=50, failures=failures, p95=0.1)
    like = next(line for line in LINES if isinstance(line, Sample))
    update = {"series": series, "t": start, "start": start, "end": start + 0.1, "ok": True, "users": users}
    return like.model_copy(update=update)


@pytest.mark.parametrize(
    ("samples", "result"),
    [
        ([sample(104, 3), sample(107, 0)], Result.HOLDS),
        ([sample(107, 1), sample(108, 0)], Result.BROKEN),
        ([sample(104, 0)], Result.UNKNOWN),
    ],
)
def test_a_window_counts_that_begins_after_the_step(samples: list[Sample], result: Result) -> None:
    check = NoFailuresAfter.model_validate({"check": "no_failures_after", "step": "route-away"})
    assert check.judge({}, Timeline([*LINES, step_line("route-away"), *samples])).result is result
    assert check.judge({}, Timeline([*LINES, *samples])).result is Result.UNKNOWN
