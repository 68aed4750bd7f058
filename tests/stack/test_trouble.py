"""What goes wrong with a stack, as its user sees it: a short message that says what to do, and nothing is left."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drill_root import Result, docker, run_folders, wait_for

pytestmark = pytest.mark.stack

SOUND = """
x-sevdrill:
  target: staging
  healthy_within: 5s
  monitoring: {alertmanager: "http://watch:9093", heartbeat: Heartbeat}
x-server: &server
  image: debian:bookworm-slim
  init: true
  stop_grace_period: 1s
  dns_opt: ["timeout:1", "attempts:1"]
services:
  # Of Alertmanager it has what is asked here: it holds the heartbeat, and an alert while web does not answer.
  watch:
    <<: *server
    expose: ["9093"]
    command:
      - perl
      - -MIO::Socket::INET
      - -e
      - |
        $$s = IO::Socket::INET->new(LocalPort => 9093, Listen => 50, ReuseAddr => 1) or die;
        while ($$c = $$s->accept) {
          $$up = IO::Socket::INET->new(PeerAddr => "web:8080", Timeout => 1);
          @names = ("Heartbeat", $$up ? () : "WebDown");
          $$body = "[" . join(",", map { qq({"labels": {"alertname": "$$_"}}) } @names) . "]";
          print $$c "HTTP/1.0 200 OK\\r\\n\\r\\n$$body"; shutdown $$c, 1; <$$c>; close $$c;
        }
  web:
    <<: *server
    expose: ["8080"]
    command:
      - perl
      - -MIO::Socket::INET
      - -e
      - |
        $$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 50, ReuseAddr => 1) or die;
        while ($$c = $$s->accept) { print $$c "HTTP/1.0 200 OK\\r\\n\\r\\nhere\\n"; shutdown $$c, 1; <$$c>; close $$c }
    healthcheck: {test: [CMD, bash, -c, "exec 3<>/dev/tcp/127.0.0.1/8080"], interval: 300ms, retries: 20}
"""
SETTINGS = SOUND[SOUND.index("x-sevdrill") : SOUND.index("x-server")]
DRILL = """
drill: Web down
severity: SEV-2
steady_state:
  hold: 500ms
  probes: [{probe: http, url: "http://web:8080/", status: "200", timeout: 1s}]
inject: [{fault: container.kill, service: web}]
detect: [{alert: WebDown}]
respond: [{action: restart, service: web}]
limit: 15s
"""
# A phase that begins makes a file, so that a test can break the engine at that moment, for real.
CONFTEST = """
import os
from pathlib import Path

from sevdrill.engine import Engine
from sevdrill.stacks import loopback

phase = Engine._phase


def marked(self, name):
    phase(self, name)
    if os.environ.get("MARK", "").split(" ")[0] == name:
        Path(os.environ["MARK"].split(" ")[1]).touch()


Engine._phase = marked
if "TAKEN_PORT" in os.environ:
    # As when another process takes a port in the moment between the look and the start.
    first = int(os.environ["TAKEN_PORT"])
    free, randrange = loopback._free, loopback.random.randrange
    loopback._free = lambda port: port == first or free(port)
    once = [first]
    loopback.random.randrange = lambda low, high: once.pop() if once else randrange(low, high)
"""


class Place:
    """A user's folder: Compose file, drill, ini file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = f"sevdrill-test-{secrets.token_hex(3)}"
        self.environment = {key: value for key, value in os.environ.items() if key not in ("PYTEST_CURRENT_TEST", "CI")}
        (folder / "drills").mkdir()
        (folder / "drills" / "web-down.yml").write_text(DRILL)
        (folder / "conftest.py").write_text(CONFTEST)
        ini = ["[tool.pytest]", "strict = true", 'addopts = ["-p", "no:cacheprovider"]', 'drill_patience = "15s"']
        (folder / "pyproject.toml").write_text("\n".join([*ini, 'drill_stack = ["docker-compose.yml"]', ""]))

    def compose(self, text: str) -> None:
        (self.folder / "docker-compose.yml").write_text(text)

    def run(self, *options: str, **environment: str) -> Result:
        command = [sys.executable, "-m", "pytest", "drills", *options]
        before = run_folders(self.folder)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return Result(done.returncode, done.stdout, self.folder, before)

    def heal(self, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sevdrill", "heal"]
        everything = {**self.environment, **environment}
        return subprocess.run(
            command, cwd=self.folder, env=everything, capture_output=True, text=True, timeout=120, check=False
        )

    def journals(self) -> list[Path]:
        return list((self.folder / ".sevdrill").glob("journal/*.jsonl"))

    def left(self) -> list[str]:
        """Containers, volumes and networks of every stack that was started from this folder, and its processes."""
        found = []
        for stack in (self.folder / ".sevdrill" / "stacks").glob("*"):
            for label in ("sevdrill.project", "com.docker.compose.project"):
                for kind in ("ps -aq", "volume ls -q", "network ls -q"):
                    found += docker(*kind.split(), "--filter", f"label={label}={stack.name}").split()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
                where = str((process / "cwd").readlink())
            except OSError:
                continue
            if where == str(self.folder) or str(self.folder).encode() in command:
                found.append(f"process {process.name}: {command!r}")
        return found


@pytest.fixture
def place(tmp_path: Path, engine: object) -> Iterator[Place]:
    place = Place(tmp_path)
    place.compose(SOUND)
    try:
        yield place
        wait_for(lambda: place.left() == [], f"nothing to be left: {place.left()}", 20)
        assert place.journals() == []
    finally:
        for stack in (tmp_path / ".sevdrill" / "stacks").glob("*"):
            command = [sys.executable, "-m", "sevdrill", "down", stack.name]
            subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)


def short(result: Result, *said: str, lines: int = 30) -> None:
    """The run failed with a message that says this, and without a traceback."""
    assert result.code not in (0, None), result.output
    for text in said:
        assert re.search(text, result.output), f"{text!r} is not said:\n{result.output}"
    assert "Traceback" not in result.output, result.output
    assert "INTERNALERROR" not in result.output, result.output
    assert "Error\n" not in result.output, result.output
    body = result.output.partition("= FAILURES =")[2] or result.output.partition("= ERRORS =")[2]
    assert len(body.splitlines()) <= lines, result.output


def test_all_is_well_without_trouble(place: Place) -> None:
    result = place.run()
    assert result.outcome == "passed", result.output


# --- files ---


def test_a_missing_compose_file(place: Place) -> None:
    (place.folder / "docker-compose.yml").unlink()
    short(place.run(), r"docker-compose\.yml", "drill_stack", lines=8)


def test_a_compose_file_without_x_sevdrill(place: Place) -> None:
    place.compose(SOUND.replace(SETTINGS, ""))
    short(place.run(), r"docker-compose\.yml does not say what it is", r"x-sevdrill: \{target: staging\}", lines=12)


def test_a_compose_file_that_compose_does_not_accept(place: Place) -> None:
    place.compose(SOUND.replace("  init: true", "  innit: true"))
    short(place.run(), r"docker-compose\.yml: docker compose does not accept it", "innit", lines=12)


# --- images and services ---


def test_an_image_that_does_not_build(place: Place) -> None:
    built = f"sevdrill-test-{secrets.token_hex(3)}"
    (place.folder / "Dockerfile").write_text("FROM debian:bookworm-slim\nRUN echo no such mirror >&2; exit 7\n")
    place.compose(SOUND.replace("  web:\n", f"  web:\n    image: {built}\n    build: {{context: ., network: host}}\n"))
    short(place.run(), "compose build web. failed", "no such mirror", "exit code: 7")


def test_an_image_that_is_nowhere(place: Place) -> None:
    place.compose(SOUND.replace("  web:\n", "  web:\n    image: 127.0.0.1:9/no/such:1\n"))
    short(place.run(), "compose pull web. failed", r"web: 127\.0\.0\.1:9/no/such:1")


def test_a_service_that_never_becomes_healthy(place: Place) -> None:
    place.compose(
        SOUND
        + "  sick: {image: debian:bookworm-slim, init: true, command: [sh, -c, 'echo I wait for nobody; sleep 99'],"
        " healthcheck: {test: ['CMD', 'false'], interval: 500ms, retries: 2}}\n"
    )
    result = place.run()
    short(
        result,
        "is not healthy within 5s",
        r"service sick: \S+ is Up .*unhealthy",
        "I wait for nobody",
        "healthy_within",
    )
    assert "service web" not in result.output


def test_a_service_that_ends_at_once(place: Place) -> None:
    place.compose(SOUND + "  bad: {image: debian:bookworm-slim, command: [sh, -c, 'echo no such table; exit 7']}\n")
    result = place.run()
    short(result, r"service bad: \S+ is Exited \(7\)", "no such table")
    assert "service web" not in result.output


def test_a_service_that_ends_again_and_again(place: Place) -> None:
    place.compose(
        SOUND
        + "  bad: {image: debian:bookworm-slim, restart: always, command: [sh, -c, 'echo no such table; exit 7']}\n"
    )
    result = place.run()
    # On a busy machine it may be up in the very moment of the last look.
    short(result, r"service bad: \S+ is (Restarting \(7\)|Up Less than a second)", "no such table")


def test_a_service_that_others_wait_for_and_that_fails(place: Place) -> None:
    place.compose(
        SOUND + "    depends_on: {migrate: {condition: service_completed_successfully}}\n"
        "  migrate: {image: debian:bookworm-slim, command: [sh, -c, 'echo no such column; exit 3']}\n"
    )
    short(place.run(), r"service migrate: \S+ is Exited \(3\)", "no such column")


# --- ports ---


def test_a_fixed_port_that_is_taken_is_not_wanted(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        place.compose(SOUND.replace('expose: ["8080"]', f'ports: ["{port}:8080"]'))
        result = place.run()
    assert result.outcome == "passed", result.output


def test_a_port_that_is_taken_in_the_last_moment(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = place.run(TAKEN_PORT=str(taken.getsockname()[1]))
    assert result.outcome == "passed", result.output


# --- the engine ---


class Relay:
    """Stands before the engine's socket; while the file `frozen` is there, nothing comes through."""

    def __init__(self, folder: Path, behind: str) -> None:
        self.path, self.frozen, self._behind = folder / "engine.sock", folder / "frozen", behind
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(50)
        self._open: list[socket.socket] = []
        self._ended = False
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    def _serve(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._behind)
            self._open += [client, engine]
            for source, sink in ((client, engine), (engine, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        thawed = threading.Event()
        try:
            while data := source.recv(65536):
                while self.frozen.exists() and not self._ended:
                    thawed.wait(0.05)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            sink.close()

    def close(self) -> None:
        self._ended = True
        self._listener.close()
        for each in self._open:
            each.close()


@pytest.fixture
def relay(tmp_path_factory: pytest.TempPathFactory, engine: object) -> Iterator[Relay]:
    host: str = engine.host  # type: ignore[attr-defined]
    relay = Relay(tmp_path_factory.mktemp("relay"), host.removeprefix("unix://"))
    try:
        yield relay
    finally:
        relay.close()


def test_no_engine(place: Place) -> None:
    result = place.run(DOCKER_HOST=f"unix://{place.folder}/nowhere.sock")
    short(result, r"no container engine answers at unix://\S+nowhere\.sock", "Start it", lines=8)
    assert "heal" not in result.output, "nothing was broken"
    assert list((place.folder / ".sevdrill").glob("stacks/*/compose.yml")) == []


def test_an_engine_on_another_machine(place: Place) -> None:
    short(place.run(DOCKER_HOST="tcp://192.0.2.1:2375"), "not on this machine", "--drill-allow-remote 192", lines=6)


def test_an_engine_that_is_silent_from_the_start(place: Place, relay: Relay) -> None:
    relay.frozen.touch()
    result = place.run(DOCKER_HOST=relay.host)
    short(result, r"the engine at unix://\S+ did not answer within \d+ s", "restart it", lines=8)


def freeze(place: Place, relay: Relay, *options: str) -> Result:
    return place.run(*options, DOCKER_HOST=relay.host, MARK=f"respond {relay.frozen}")


def web_runs(place: Place) -> Callable[[], bool]:
    label = "label=sevdrill.service=web"
    [stack] = (place.folder / ".sevdrill" / "stacks").glob("*")
    own = f"label=sevdrill.project={stack.name}"
    return lambda: docker("ps", "-q", "--filter", label, "--filter", own) != ""


def test_an_engine_that_falls_silent_in_mid_drill(place: Place, relay: Relay) -> None:
    result = freeze(place, relay)
    short(result, r"the engine at unix://\S+ did not answer within \d+ s", "sevdrill heal", lines=50)
    assert result.outcome == "failed", result.output
    [_] = place.journals()
    assert not web_runs(place)(), "the fault is on"
    relay.frozen.unlink()
    # The watchdog goes on trying until the engine answers; who heals by hand meanwhile waits for it, or does it.
    healed = place.heal()
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert "Traceback" not in healed.stdout + healed.stderr
    wait_for(lambda: place.journals() == [], "every debt to be paid", 90)
    assert place.heal().stdout == "nothing to heal\n"
