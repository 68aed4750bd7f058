"""The monitoring reader against a made-up Alertmanager, Prometheus and pager; needs no engine."""

import datetime as dt
import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from sevdrill.clock import SystemClock
from sevdrill.errors import StackError
from sevdrill.stacks.monitoring import HttpMonitoring
from sevdrill.stacks.settings import MonitoringSettings


class Made(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        found = self.server.answers.get(parts.path, (404, {"detail": "Not Found"}))
        status, body = found(parse_qs(parts.query)) if callable(found) else found
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def made():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Made)
    server.answers = {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Here:
    """Every service is the made-up server."""

    def __init__(self, server):
        self.port = server.server_port

    def url(self, url):
        parts = urlsplit(url)
        return parts._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    def direct(self, service, port):
        return {}


def reader(made, **settings):
    settings = {
        "alertmanager": "http://am:9093",
        "pager": "http://pager:8080/pages",
        "heartbeat": "Heartbeat",
    } | settings
    return HttpMonitoring(MonitoringSettings(**settings), Here(made), SystemClock())


def alerts(*names):
    return 200, [{"labels": {"alertname": name, "severity": "page"}} for name in names]


def rules(age):
    moment = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age)).isoformat().replace("+00:00", "123Z")
    return 200, {"data": {"groups": [{"name": "g", "interval": 1, "lastEvaluation": moment}]}}


def test_alerts_without_the_heartbeat(made):
    made.answers["/api/v2/alerts"] = alerts("Heartbeat", "DatabaseDown")
    assert [(alert.name, alert.labels["severity"]) for alert in reader(made).alerts()] == [("DatabaseDown", "page")]
    made.answers["/api/v2/alerts"] = (500, "broken")
    with pytest.raises(StackError, match=r"Alertmanager .* answered 500"):
        reader(made).alerts()


@pytest.mark.parametrize(
    ("held", "heartbeat", "alive", "why"),
    [
        (["Heartbeat"], None, True, "holds the heartbeat"),
        (["Heartbeat"], (200, {"age": 1.5}), True, "1.5 s ago"),
        (["Heartbeat"], (200, {"age": 30}), False, "30.0 s ago"),
        (["Heartbeat"], (200, {"age": None}), False, "has not been delivered"),
        (["Other"], (200, {"age": 1}), False, "does not hold"),
        ([], None, False, "does not hold"),
    ],
)
def test_alive_by_the_heartbeat(made, held, heartbeat, alive, why):
    made.answers["/api/v2/alerts"] = alerts(*held)
    if heartbeat:
        made.answers["/heartbeat"] = heartbeat
    said = reader(made).alive()
    assert said[0] is alive
    assert why in said[1]


@pytest.mark.parametrize(("age", "alive"), [(1, True), (60, False)])
def test_alive_by_fresh_rules_where_there_is_no_heartbeat(made, age, alive):
    made.answers |= {"/api/v2/alerts": alerts(), "/api/v1/rules": rules(age)}
    assert reader(made, heartbeat="", prometheus="http://prom:9090").alive()[0] is alive
    assert reader(made, heartbeat="").alive()[0] is False, "nothing proves it"


def test_dead_monitoring_is_not_alive(made):
    watching = reader(made)
    made.shutdown()
    made.server_close()
    alive, why = watching.alive()
    assert not alive
    assert "http://am:9093/api/v2/alerts" in why


class Pager:
    def __init__(self, born):
        self.born, self.count = born, 0

    def __call__(self, query):
        since = int(query["since"][0])
        return 200, [
            {"id": n, "kind": "page", "status": "firing", "alerts": [], "received_at": self.born + n}
            for n in range(since + 1, self.count + 1)
        ]


def test_pages_go_on_when_the_pager_starts_to_count_anew(made):
    watching = reader(made)
    made.answers["/pages"] = pager = Pager(born=1000)
    assert watching.pages(0) == []
    pager.count = 3
    assert [page.id for page in watching.pages(0)] == [1, 2, 3]
    assert watching.pages(3) == []
    assert [page.id for page in watching.pages(1)] == [2, 3]
    made.answers["/pages"] = pager = Pager(born=2000)
    assert watching.pages(3) == []
    pager.count = 5
    assert [page.id for page in watching.pages(3)] == [4, 5, 6, 7, 8], "none of its pages is missed"
    assert [page.id for page in watching.pages(6)] == [7, 8]
    made.answers["/pages"] = pager = Pager(born=3000)
    pager.count = 9
    assert [page.id for page in watching.pages(8)] == list(range(9, 18)), "although its ids are higher at once"
    assert watching.pages(17) == []
