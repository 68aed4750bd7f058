"""The Compose adapter on a real engine, with a small stack of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import pytest

from sevdrill.clock import SystemClock
from sevdrill.errors import Refused, StackError, StackUnhealthy, Unsupported
from sevdrill.lines import Interval
from sevdrill.ports import Endpoints, Environment, Evidence, Exec, Ledgers, Lifecycle, Monitoring, Proxies, Release
from sevdrill.stacks.compose import ComposeConfig, ComposeStack
from sevdrill.stacks.engine import wait_until
from sevdrill.stacks.loopback import outside_ephemeral

pytestmark = pytest.mark.stack
SMALL = Path(__file__).with_name("small.yml")


def docker(*command):
    return subprocess.run(["docker", *command], check=True, capture_output=True, text=True, timeout=60).stdout.split()


def left_of(project):
    """Everything on the engine that belongs to a project, by sevdrill's label or Compose's."""
    found = []
    for label in (f"label=sevdrill.project={project}", f"label=com.docker.compose.project={project}"):
        found += docker("ps", "-aq", "--filter", label) + docker("network", "ls", "-q", "--filter", label)
        found += docker("volume", "ls", "-q", "--filter", label)
    return found


def fresh_name():
    return f"sevdrill-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def images(engine):
    name = fresh_name()
    for tag in ("1.0", "1.1"):
        docker("tag", "debian:bookworm-slim", f"{name}:{tag}")
    os.environ["TEST_IMAGE"] = name
    yield name
    del os.environ["TEST_IMAGE"]
    docker("rmi", f"{name}:1.0", f"{name}:1.1")


@pytest.fixture(scope="module")
def started(images, tmp_path_factory):
    """One stack for the module; tests leave it as they found it, or take `stack`, which mends it first."""
    stack = ComposeStack(ComposeConfig((SMALL,), fresh_name(), tmp_path_factory.mktemp("state")), SystemClock())
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
    stack.down()
    assert left_of(stack.project) == []
    assert not (Path(stack.descriptor()["file"])).exists(), "the file may hold secrets"


@pytest.fixture
def stack(started):
    if not started.is_up():
        started.up()
    return started


@pytest.fixture
def one(images, tmp_path):
    """Makes stacks from text; all are taken down."""
    made = []

    def make(text, project=None):
        (tmp_path / "one.yml").write_text(text)
        config = ComposeConfig((tmp_path / "one.yml",), project or fresh_name(), tmp_path / "state")
        made.append(ComposeStack(config, SystemClock()))
        return made[-1]

    yield make
    for stack in made:
        stack.down()
        assert left_of(stack.project) == []


def ask(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=3) as answer:
        return answer.read().decode().strip()


def healthy(stack, service):
    replicas = stack.ports()[Lifecycle].replicas(service)
    return bool(replicas) and all(r.running and r.healthy for r in replicas)


def names(stack, service):
    return [replica.name for replica in stack.ports()[Lifecycle].replicas(service)]


def from_inside(stack, host, timeout=5.0):
    """What a service of the stack gets when it connects to ``host``."""
    script = f"exec 3<>/dev/tcp/{host}/5432 && cat <&3"
    return stack.ports()[Exec].run("web", ["timeout", "3", "bash", "-c", script], timeout=timeout)


def test_the_stack_has_the_ports_that_its_files_give_it(stack):
    ports = stack.ports()
    assert all(port in ports for port in (Lifecycle, Exec, Endpoints, Evidence, Proxies, Release, Ledgers))
    assert Monitoring not in ports
    assert ports[Lifecycle].services() == ["app", "db", "migrate", "web"]
    assert stack.is_up()


def test_clients_reach_the_service_by_every_old_name_through_the_proxy(stack):
    for name in ("db", "database", "the-database", "db-direct"):
        assert "here" in from_inside(stack, name).out, name
    stack.ports()[Proxies].set_down("db", down=True)
    assert not stack.is_up(), "a faulted stack is not whole"
    for name in ("db", "database", "the-database"):
        assert from_inside(stack, name).code != 0, name
    assert "here" in from_inside(stack, "db-direct").out
    stack.ports()[Proxies].set_down("db", down=False)
    assert "here" in from_inside(stack, "db").out


def test_reached_from_here_by_fixed_ports_outside_the_ephemeral_range(stack):
    endpoints = stack.ports()[Endpoints]
    low, high = outside_ephemeral()
    for url in ("http://db:5432/x?y=1", "http://web:5432/", "http://database:5432/"):
        mapped = endpoints.url(url)
        assert ask(mapped) == "here"
        assert low <= urllib.request.urlparse(mapped).port < high
    assert endpoints.url("http://u:p@db:5432/x?y=1").endswith("/x?y=1")
    replicas = endpoints.direct("app", 5432)
    assert sorted(replicas) == names(stack, "app")
    assert len(set(replicas.values())) == 2
    assert len({endpoints.url("http://app:5432/") for _ in range(4)}) == 2, "in turn, as the name server does"
    assert ask(endpoints.url("http://app:5432/")) == "here"
    assert any(line.startswith("db:5432 is at 127.0.0.1:") for line in stack.reach())
    with pytest.raises(StackError, match=r'no service "bd", did you mean "db"'):
        endpoints.url("http://bd:5432/")


def test_kill_start_pause_and_stop(stack):
    lifecycle, url = stack.ports()[Lifecycle], stack.ports()[Endpoints].url("http://db:5432/")
    [name] = names(stack, "db")
    lifecycle.kill("db", [name])
    lifecycle.kill("db", [name])
    [replica] = lifecycle.replicas("db")
    assert not replica.running
    assert not stack.is_up()
    with pytest.raises(OSError):  # noqa: PT011 - refused, reset or closed
        ask(url)
    with pytest.raises(StackError, match="none of its replicas runs"):
        stack.ports()[Exec].run("db", ["true"], timeout=5)
    lifecycle.start("db", [name])
    lifecycle.start("db", [name])
    assert wait_until(lambda: healthy(stack, "db"), within=20)
    assert ask(url) == "here", "the address has changed"

    lifecycle.pause("db", [name])
    lifecycle.pause("db", [name])
    [replica] = lifecycle.replicas("db")
    assert (replica.running, replica.paused) == (True, True)
    lifecycle.kill("db", [name])
    assert not lifecycle.replicas("db")[0].running, "a frozen one can be killed"
    lifecycle.unpause("db", [name])
    lifecycle.start("db", [name])
    lifecycle.pause("db", [name])
    lifecycle.unpause("db", [name])
    lifecycle.unpause("db", [name])
    assert wait_until(lambda: healthy(stack, "db"), within=20)

    lifecycle.stop("db", [name])
    lifecycle.stop("db", [name])
    assert not lifecycle.replicas("db")[0].running
    lifecycle.start("db", [name])
    assert wait_until(lambda: healthy(stack, "db"), within=20)
    with pytest.raises(StackError, match="db has no replica x"):
        lifecycle.kill("db", ["x"])


def test_one_of_several_replicas(stack):
    lifecycle = stack.ports()[Lifecycle]
    first, second = names(stack, "app")
    lifecycle.kill("app", [first])
    assert list(stack.ports()[Endpoints].direct("app", 5432)) == [second]
    assert {r.name: r.running for r in lifecycle.replicas("app")} == {first: False, second: True}
    lifecycle.start("app", [first])
    assert wait_until(lambda: healthy(stack, "app"), within=20)


def test_latency_is_felt_and_goes(stack):
    proxies, url = stack.ports()[Proxies], stack.ports()[Endpoints].url("http://db:5432/")
    proxies.set_toxic("db", "lat", "latency", "downstream", 1.0, {"latency": 300, "jitter": 0})
    proxies.set_toxic("db", "cut", "limit_data", "upstream", 1.0, {"bytes": 100000})
    assert sorted(proxies.toxics("db")["5432"]) == ["cut", "lat"]
    began = time.monotonic()
    ask(url)
    assert time.monotonic() - began >= 0.3
    proxies.remove_toxic("db", "lat")
    proxies.remove_toxic("db", "lat")
    assert proxies.toxics("db") == {"5432": ["cut"]}
    proxies.remove_toxic("db", "cut")

    def took():
        began = time.monotonic()
        ask(url)
        return time.monotonic() - began

    # A busy machine may be slow by itself, but not each time.
    assert wait_until(lambda: took() < 0.3, within=20)
    with pytest.raises(Unsupported, match=r"proxies: \{web: \[\]\}"):
        proxies.toxics("web")
    with pytest.raises(StackError, match="whole number"):
        proxies.set_toxic("db", "lat", "latency", "downstream", 1.0, {"latency": -1})


def test_a_dead_or_emptied_proxy_is_mended_by_the_undo(stack):
    project, proxies = stack._project, stack.ports()[Proxies]
    proxies.set_toxic("db", "t", "timeout", "downstream", 1.0, {"timeout": 0})
    stack._engine.signal(project.proxy("db"), "SIGKILL")
    assert wait_until(lambda: not project.proxy("db").running, within=5)
    with pytest.raises(StackError, match="cannot be reached"):
        proxies.toxics("db")
    proxies.remove_toxic("db", "t")
    assert proxies.toxics("db") == {"5432": []}
    # As a runner leaves it that is killed between the two halves of a removal.
    client, _ = proxies._at("db")
    client._consumer.call("DELETE", "/proxies/db-5432")
    with pytest.raises(StackError, match="lost port 5432"):
        proxies.toxics("db")
    proxies.remove_toxic("db", "t")
    assert ask(stack.ports()[Endpoints].url("http://db:5432/")) == "here"


def test_deploy_history_and_rollback_from_another_process(stack, images):
    release = ComposeStack.attach(json.loads(json.dumps(stack.descriptor())), SystemClock()).ports()[Release]
    assert release.releases("app") == {"1.0": f"{images}:1.0", "1.1": f"{images}:1.1"}
    assert set(release.deployed("app").values()) == {"1.0"}
    release.deploy("app", "1.1")
    release.deploy("app", "1.1")
    assert set(release.deployed("app").values()) == {"1.1"}
    assert len(release.deployed("app")) == 2
    release.deploy("app", "1.0")
    assert set(release.deployed("app").values()) == {"1.0"}
    assert release.history("app") == ["1.0", "1.1", "1.0"]
    with pytest.raises(StackError, match=r'no release "1\.O"'):
        release.deploy("app", "1.O")
    assert wait_until(stack.is_up, within=20)


@pytest.mark.parametrize("with_child", [False, True], ids=["the runner is killed", "and what it started, too"])
def test_a_deploy_that_was_cut_off_does_not_stand_in_the_way(stack, with_child):
    code = (
        "import json, sys; from sevdrill.clock import SystemClock; from sevdrill.ports import Release;"
        "from sevdrill.stacks.compose import ComposeStack;"
        "ComposeStack.attach(json.loads(sys.argv[1]), SystemClock()).ports()[Release].deploy('app', '1.1')"
    )
    runner = subprocess.Popen([sys.executable, "-c", code, json.dumps(stack.descriptor())])

    def halfway():
        return len([c for c in stack._engine.containers(stack.project) if c.service == "app"]) > 2

    assert wait_until(halfway, within=20, every=0.005)
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    runner.kill()
    runner.wait()
    for child in children if with_child else ():
        os.killpg(int(child), signal.SIGKILL)
    release = stack.ports()[Release]
    release.deploy("app", "1.0")
    assert wait_until(lambda: list(release.deployed("app").values()) == ["1.0", "1.0"], within=10)
    assert len(names(stack, "app")) == 2
    if not with_child:
        assert wait_until(stack.is_up, within=20)
    else:
        # The engine may still carry out the stop that the child had asked for; `up` mends that.
        stack.up()


def test_a_deploy_leaves_alone_what_becomes_of_other_services(stack):
    labels = {"sevdrill.project": stack.project, "com.docker.compose.project": stack.project, "sevdrill.service": "web"}
    given = [part for label, value in labels.items() for part in ("--label", f"{label}={value}")]
    given += ["--label", "com.docker.compose.oneoff=False", "--label", "sevdrill.role=service"]
    (draft,) = docker("create", "--name", f"0123456789ab_{stack.project}-web-1", *given, "debian:bookworm-slim", "true")
    try:
        release = stack.ports()[Release]
        release.deploy("app", "1.1")
        release.deploy("app", "1.0")
        assert draft in docker("ps", "-aq", "--no-trunc")
        stack.up()
        assert draft not in docker("ps", "-aq", "--no-trunc")
    finally:
        subprocess.run(["docker", "rm", "-f", draft], capture_output=True, timeout=60)


def test_configurations_from_another_process(stack):
    environment = ComposeStack.attach(json.loads(json.dumps(stack.descriptor())), SystemClock()).ports()[Environment]
    assert environment.variables("app") == ["PRICE", "SECRET"]
    assert (environment.history("app"), set(environment.running("app").values())) == ([0], {0})
    environment.configure("app", {"SECRET": "wr$ng=${HOME} value"})
    assert (environment.history("app"), list(environment.running("app").values())) == ([0, 1], [1, 1])
    again = stack.ports()[Environment]
    assert stack.ports()[Exec].run("app", ["printenv", "SECRET"], timeout=10).out == "wr$ng=${HOME} value\n"
    assert stack.ports()[Exec].run("app", ["printenv", "PRICE"], timeout=10).out == "$5 on\n"
    again.restore("app", 0)
    again.restore("app", 0)
    assert (again.history("app"), list(again.running("app").values())) == ([0, 1, 0], [0, 0])
    assert stack.ports()[Exec].run("app", ["printenv", "SECRET"], timeout=10).out == "s3cr3t-value\n"
    again.configure("app", {"SECRET": "s3cr3t-value"})
    assert again.history("app") == [0, 1, 0], "nothing was changed"
    with pytest.raises(StackError, match='no variable "SERCET", did you mean "SECRET"'):
        again.configure("app", {"SERCET": "x"})
    with pytest.raises(StackError, match=r"no revision 7 .*revisions: 0, 1, 0"):
        again.restore("app", 7)
    (kept,) = Path(stack.descriptor()["file"]).parent.glob("environments.jsonl")
    assert kept.stat().st_mode & 0o077 == 0, "it holds secrets"
    assert wait_until(stack.is_up, within=20)


RECOVERING = """
x-sevdrill: {target: staging}
x-service: &service {image: debian:bookworm-slim, init: true, stop_grace_period: 0s}
services:
  dependency:
    <<: *service
    command: [sh, -c, "touch /well && exec sleep infinity"]
    healthcheck: {test: [CMD, test, -e, /well], interval: 200ms, retries: 1}
  app: {<<: *service, command: [sleep, infinity], depends_on: {dependency: {condition: service_healthy}}}
"""


def test_a_stack_that_is_still_getting_well_is_waited_for(one):
    stack = one(RECOVERING)
    stack.up()
    (dependency,) = names(stack, "dependency")
    docker("exec", dependency, "rm", "/well")
    assert wait_until(lambda: not healthy(stack, "dependency"), within=20)
    well = threading.Timer(1, docker, ("exec", dependency, "touch", "/well"))
    well.start()
    try:
        stack.up()
    finally:
        well.join()
    assert stack.is_up()


def test_commands_and_ledgers(stack):
    ports = stack.ports()
    done = ports[Exec].run("db", ["sh", "-c", "echo $PRICE; echo e >&2; exit 3"], timeout=10)
    assert (done.code, done.out, done.err) == (3, "$5 on\n", "e\n")
    with pytest.raises(StackError, match=r"did not end within 0\.3 s"):
        ports[Exec].run("db", ["sleep", "5"], timeout=0.3)
    assert ports[Ledgers].rows("orders") == ["a", "b", "b"]
    with pytest.raises(StackError, match=r"ledger broken cannot be read.*code 1"):
        ports[Ledgers].rows("broken")
    with pytest.raises(StackError, match='has no "other"'):
        ports[Ledgers].rows("other")


def test_evidence_has_logs_and_states_and_no_environment(stack, tmp_path):
    since = time.monotonic() - 3600
    evidence = stack.ports()[Evidence]
    files = evidence.collect(tmp_path / "evidence", Interval(since, since))
    text = {file.name: file.read_text() for file in files}
    assert "listening" in text[f"{names(stack, 'db')[0]}.log"]
    states = {state["name"]: state for state in json.loads(text["containers.json"])}
    assert states[names(stack, "db")[0]]["state"]["Running"] is True
    assert not any("s3cr3t-value" in content for content in text.values())
    used = evidence.uses()
    assert used["db-1"].memory > 100_000
    assert used["db-1"].processor > 0
    assert used["db-1"].processes >= 1
    services = {name.rpartition("-")[0] for name in used}
    assert "db" in services, "by the names that people know"
    assert not any("proxy" in name or "real" in name for name in used)
    now = time.monotonic()
    later = stack.ports()[Evidence].collect(tmp_path / "later", Interval(now, now))
    assert not any("listening" in file.read_text() for file in later if file.suffix == ".log")


def test_up_again_brings_it_back_to_how_it_was_started(stack):
    lifecycle, proxies, release = (stack.ports()[port] for port in (Lifecycle, Proxies, Release))
    reach = stack.ports()[Endpoints].url("http://db:5432/")
    proxies.set_toxic("db", "t", "timeout", "downstream", 1.0, {"timeout": 0})
    lifecycle.kill("db", names(stack, "db"))
    lifecycle.pause("web", names(stack, "web"))
    release.deploy("app", "1.1")
    stack.up()
    assert stack.is_up()
    assert set(release.deployed("app").values()) == {"1.0"}
    assert release.history("app") == ["1.0"]
    assert stack.ports()[Endpoints].url("http://db:5432/") == reach, "ports stay"
    assert ask(reach) == "here"


def test_two_stacks_side_by_side(started, images, tmp_path):
    other = ComposeStack(ComposeConfig((SMALL,), fresh_name(), tmp_path), SystemClock())
    # Its ports must stay its own while it is down.
    started.ports()[Lifecycle].kill("web", names(started, "web"))
    mine = {line.split(":")[-1].split()[0] for line in started.reach()}
    try:
        other.up()
        assert not mine & {line.split(":")[-1].split()[0] for line in other.reach()}
        other.ports()[Lifecycle].kill("db", names(other, "db"))
        assert healthy(started, "db")
    finally:
        other.down()
    assert left_of(other.project) == []
    started.ports()[Lifecycle].start("web", names(started, "web"))
    assert wait_until(started.is_up, within=20)


def test_a_service_that_ends_is_named_with_its_last_words(one):
    broken = """
        x-sevdrill: {target: staging}
        services: {good: {image: debian:bookworm-slim, command: [sleep, "60"], init: true},
                   bad: {image: debian:bookworm-slim, command: [sh, -c, "echo no such table; exit 7"]}}
    """
    stack = one(broken)
    with pytest.raises(StackUnhealthy, match=r"(?s)service bad: \S+ is Exited \(7\).*no such table") as caught:
        stack.up()
    assert "service good" not in str(caught.value)


def test_a_project_that_no_drill_made_is_never_touched(one, tmp_path):
    project = fresh_name()
    (tmp_path / "theirs.yml").write_text(
        "services: {a: {image: debian:bookworm-slim, command: [sleep, '60'], init: true}}"
    )
    theirs = ["compose", "-p", project, "-f", str(tmp_path / "theirs.yml")]
    docker(*theirs, "up", "-d")
    try:
        stack = one("{x-sevdrill: {target: staging}, services: {a: {image: debian:bookworm-slim}}}", project)
        for change in (stack.up, stack.down):
            with pytest.raises(Refused, match=rf"{project} exists that no drill made \({project}-a-1\)"):
                change()
        assert docker("ps", "-q", "--filter", f"label=com.docker.compose.project={project}")
    finally:
        docker(*theirs, "down", "-t", "0")


def test_what_is_refused_starts_nothing(one, monkeypatch):
    for text, reason in (
        ("services: {a: {image: debian:bookworm-slim}}", "target: staging"),
        ("{x-sevdrill: {target: staging}, services: {a: {image: x, network_mode: host}}}", "network_mode: host"),
        ("{name: shop-prod, x-sevdrill: {target: staging}, services: {a: {image: x}}}", "shop-prod"),
    ):
        with pytest.raises(Refused, match=reason):
            one(text).up()
    with pytest.raises(Refused, match="live"):
        ComposeStack(ComposeConfig((Path("live.yml"),), "x"), SystemClock())
    stack = one("{x-sevdrill: {target: staging}, services: {a: {image: x}}}")
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "tcp://10.1.2.3:2375")
        with pytest.raises(Refused, match=r"--drill-allow-remote 10\.1\.2\.3"):
            stack.up()


def test_direct_tells_a_process_that_does_not_listen_from_one_that_does(stack):
    [address] = stack.ports()[Endpoints].direct("web", 5999).values()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port), timeout=2)


def test_what_still_holds_a_network_is_waited_for(engine):
    name = fresh_name()
    network, *_ = docker(
        "network",
        "create",
        "--label",
        f"sevdrill.project={name}",
        "--label",
        f"com.docker.compose.project={name}",
        name,
    )
    # Somebody else's: never touched, and gone in its own time.
    guest, *_ = docker("run", "--detach", "--rm", "--network", name, "debian:bookworm-slim", "sleep", "60")
    ended = threading.Timer(1.0, docker, ("kill", guest))
    ended.start()
    try:
        engine.remove(name)
    finally:
        ended.join()
    assert network not in docker("network", "ls", "-q", "--no-trunc")
