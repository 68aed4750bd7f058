"""Every guard, and tries to get past it: what is refused starts nothing and hits nothing, as the engine itself says."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drill_root import docker

from sevdrill.clock import SystemClock
from sevdrill.diagnostics import LoadedDrill, load_data
from sevdrill.errors import Refused, SevdrillError
from sevdrill.ports import Lifecycle
from sevdrill.session import DrillSession, Options
from sevdrill.shield import Shield
from sevdrill.stacks.compose import ComposeConfig, ComposeStack

pytestmark = pytest.mark.stack

SLEEP = "image: debian:bookworm-slim, init: true, command: [sleep, '600'], stop_grace_period: 1s"
STAGING = "x-sevdrill: {target: staging}\n"
SOUND = f"{STAGING}services:\n  web: {{{SLEEP}, deploy: {{replicas: 2}}}}\n  db: {{{SLEEP}}}\n"


class Place:
    """A folder with Compose files, and the projects that were started from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shop"
        self.folder.mkdir()
        self.project = f"sevdrill-test-{secrets.token_hex(4)}"

    def file(self, text: str, name: str = "docker-compose.yml") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def stack(self, *files: Path, project: str = "", allow_remote: str | None = None) -> ComposeStack:
        config = ComposeConfig(files, project or self.project, self.folder / ".sevdrill")
        return ComposeStack(config, SystemClock(), allow_remote=allow_remote)

    def options(self, *files: Path, **more: Any) -> Options:
        given = {"project": self.project, "state_dir": self.folder / ".sevdrill", **more}
        return Options(root=self.folder, stack_files=files, **given)

    def session(self, *files: Path, **more: Any) -> DrillSession:
        return DrillSession(self.options(*files, **more), Shield(), self.folder / "runs")

    def started(self) -> list[str]:
        found = []
        for label in ("sevdrill.project", "com.docker.compose.project"):
            for kind in ("ps -aq", "network ls -q", "volume ls -q"):
                found += docker(*kind.split(), "--filter", f"label={label}={self.project}").split()
        return found


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, engine: object) -> Iterator[Place]:
    # Not below `tmp_path`, which is named after the test, and so after what is refused.
    place = Place(tmp_path_factory.mktemp("guards"))
    yield place
    ComposeStack.named(place.project, place.folder / ".sevdrill", SystemClock()).down()
    assert place.started() == []


def refused(place: Place, reason: str, *texts: str) -> None:
    files = [place.file(text, f"compose-{number}.yml") for number, text in enumerate(texts)]
    with pytest.raises(Refused, match=reason):
        place.stack(*files).up()
    assert place.started() == []


def drill(**changes: Any) -> LoadedDrill:
    data = {
        "drill": "Web down",
        "severity": "SEV-4",
        "steady_state": {
            "throughout": True,
            "hold": "200ms",
            "probes": [{"probe": "tcp", "service": "web", "port": 1}],
        },
        "inject": [{"fault": "container.kill", "service": "web", "replicas": 1}],
        "limit": "10s",
    }
    return load_data({**data, **changes}, Path("drill.py"), 1, shown="drill", name="drill", services=["web", "db"])


# -- no opt-in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        SOUND.removeprefix(STAGING),
        SOUND.replace("staging", "production"),
        SOUND.replace("target: staging", "target: [staging]"),
        SOUND.replace("x-sevdrill", "x-drill"),
        # Not at the top.
        SOUND.removeprefix(STAGING).replace("web: {", "web: {x-sevdrill: {target: staging}, "),
    ],
)
def test_a_stack_that_did_not_say_yes(place: Place, text: str) -> None:
    refused(place, r"x-sevdrill: \{target: staging\}", text)


def test_a_yes_that_a_later_file_takes_back(place: Place) -> None:
    refused(place, "does not say what it is", SOUND, "x-sevdrill: {entry: 'http://web:1'}\n")


def test_a_yes_from_elsewhere_is_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGET", "production")
    refused(place, "says target: production", SOUND.replace("staging", "'${TARGET:-staging}'"))


# -- an engine on another machine -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("tcp://192.0.2.7:2375", None),
        ("tcp://192.0.2.7:2375", "192.0.2.8"),
        ("tcp://192.0.2.7:2375", ""),
        ("ssh://root@shop.example.com", "root@shop.example.com"),
        ("192.0.2.7:2375", None),
        ("TCP://192.0.2.7:2375", None),
    ],
)
def test_a_remote_engine(place: Place, monkeypatch: pytest.MonkeyPatch, host: str, allowed: str | None) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    stack = place.stack(place.file(SOUND), allow_remote=allowed)
    with pytest.raises(Refused, match="not on this machine"):
        stack.up()
    with pytest.raises(Refused, match="not on this machine"):
        place.session(place.file(SOUND), allow_remote=allowed).run(drill())
    monkeypatch.undo()


@pytest.mark.parametrize("chosen", ["environment", "current"])
def test_a_remote_engine_by_its_context(place: Place, monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", str(place.folder / "docker"))
        patch.delenv("DOCKER_HOST", raising=False)
        docker("context", "create", "far", "--docker", "host=tcp://192.0.2.7:2375")
        if chosen == "current":
            docker("context", "use", "far")
        else:
            patch.setenv("DOCKER_CONTEXT", "far")
        with pytest.raises(Refused, match=r"--drill-allow-remote 192\.0\.2\.7"):
            place.stack(place.file(SOUND)).up()


# -- containers of another project ------------------------------------------------------------------------------------


def test_containers_of_another_project_are_never_hit(place: Place) -> None:
    stack = place.stack(place.file(SOUND))
    theirs = []
    label = "com.docker.compose"
    for labels in (
        # Another project with a service of this name; and one whose labels were copied from ours.
        [f"{label}.project=theirs-{place.project}", f"{label}.service=web"],
        [f"{label}.project=theirs-{place.project}", f"sevdrill.project={place.project}", "sevdrill.service=web"],
        [f"sevdrill.project={place.project}", "sevdrill.service=web", f"{label}.oneoff=False"],
    ):
        options = [part for text in labels for part in ("--label", text)]
        theirs.append(docker("run", "-d", "--init", *options, "debian:bookworm-slim", "sleep", "600").strip())
    try:
        stack.up()
        web = stack.ports()[Lifecycle]
        names = [replica.name for replica in web.replicas("web")]
        assert names == [f"{place.project}-web-1", f"{place.project}-web-2"]
        web.kill("web", names)
        with pytest.raises(SevdrillError, match="has no replica"):
            web.kill("web", [docker("inspect", "--format", "{{.Name}}", theirs[1]).strip().lstrip("/")])
        stack.down()
        running = docker("ps", "-q", "--no-trunc").split()
        assert set(theirs) <= set(running)
    finally:
        docker("rm", "-fv", *theirs)


# -- names that look like production ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        SOUND.replace("  web:", "  web-prod:"),
        SOUND.replace("  db: {", "  db: {container_name: shop_live_db, "),
        SOUND.replace("  db: {", "  db: {environment: {ENVIRONMENT: production}, "),
        SOUND.replace("  db: {", "  db: {environment: [DEPLOY_ENV=prod], "),
        SOUND.replace("  db: {", "  db: {environment: {URL: 'postgres://u:hunter2@db.prod.example.com:5432/x'}, "),
        SOUND.replace("  db: {", "  db: {environment: {DB_HOST: db.live.example.com}, "),
        SOUND.replace("command: [sleep,", "command: [sleep, 'http://prod-api/',"),
        SOUND.replace("  db: {", "  db: {extra_hosts: ['prod-db:192.0.2.1'], "),
    ],
)
def test_names_that_look_like_production(place: Place, text: str) -> None:
    files = [place.file(text)]
    with pytest.raises(Refused, match="looks like production") as caught:
        place.stack(*files).up()
    assert "hunter2" not in str(caught.value)
    assert "allow: [production-names]" in str(caught.value)
    assert place.started() == []


def test_an_env_file_and_an_interpolated_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.file("STAGE=prod\n", "settings.env")
    refused(place, "looks like production", SOUND.replace("  db: {", "  db: {env_file: settings.env, "))
    monkeypatch.setenv("WHERE", "production")
    refused(place, "looks like production", SOUND.replace("  db: {", "  db: {environment: {TIER: $WHERE}, "))


def test_names_of_projects_files_and_folders(place: Place) -> None:
    with pytest.raises(Refused, match='project "shop-prod"'):
        place.stack(place.file(SOUND), project="shop-prod")
    refused(place, 'project "shop-prod"', f"name: shop-prod\n{SOUND}")
    for name in ("docker-compose.prod.yml", "production/docker-compose.yml", "live/staging.yml"):
        with pytest.raises(Refused, match="looks like production"):
            place.stack(place.file(SOUND, name))
    link = place.folder / "staging.yml"
    link.symlink_to(place.folder / "docker-compose.prod.yml")
    with pytest.raises(Refused, match=r"docker-compose\.prod\.yml"):
        place.stack(link)


def test_words_that_only_sound_like_it_and_build_modes_are_fine(place: Place) -> None:
    place.stack(
        place.file(
            SOUND.replace(
                "  db: {",
                "  db: {environment: {NODE_ENV: production, PRODUCT: live, URL: 'http://products.delivery/prod'}, ",
            )
        )
    ).up()


def test_names_that_are_meant_are_allowed(place: Place) -> None:
    text = SOUND.replace("  db: {", "  db: {environment: {STAGE: prod}, ")
    place.stack(place.file(text.replace("staging", "staging, allow: [production-names]"))).up()


# -- data and devices of others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "more"),
    [
        ("volumes: ['./data:/data']", ""),
        ("volumes: ['/srv:/srv:rw']", ""),
        ("volumes: [{type: bind, source: /srv, target: /srv}]", ""),
        ("volumes: ['/var/run/docker.sock:/var/run/docker.sock:ro']", ""),
        ("volumes: ['data:/data']", "volumes: {data: {external: true}}"),
        ("volumes: ['data:/data']", "volumes: {data: {external: true, name: real-data}}"),
        ("volumes: ['data:/data']", "volumes: {data: {driver_opts: {type: none, o: bind, device: /srv}}}"),
        ("volumes: ['data:/data']", "volumes: {data: {driver_opts: {type: none, o: 'rw,bind', device: /srv}}}"),
        ("volumes: ['data:/data']", "volumes: {data: {driver_opts: {type: nfs, o: addr=192.0.2.1, device: ':/x'}}}"),
        ("volumes_from: ['container:theirs']", ""),
        ("network_mode: host", ""),
        ("network_mode: 'container:theirs'", ""),
        ("networks: [out]", "networks: {out: {external: true}}"),
        ("networks: [out]", "networks: {out: {driver: macvlan}}"),
        ("privileged: true", ""),
        ("pid: host", ""),
        ("devices: ['/dev/sda:/dev/sda']", ""),
    ],
)
def test_what_is_shared_with_the_world_outside(place: Place, service: str, more: str) -> None:
    refused(place, r"allow it: x-sevdrill: \{allow", SOUND.replace("  db: {", f"  db: {{{service}, ") + more)


def test_a_named_volume_is_never_the_one_of_that_name(place: Place) -> None:
    theirs = f"real-{place.project}"
    docker("volume", "create", theirs)
    try:
        text = SOUND.replace("  db: {", "  db: {volumes: ['data:/data'], ") + f"volumes: {{data: {{name: {theirs}}}}}"
        place.stack(place.file(text)).up()
        mounted = docker("inspect", "--format", "{{range .Mounts}}{{.Name}}{{end}}", f"{place.project}-db-1").strip()
        assert mounted == f"{place.project}_data"
    finally:
        docker("volume", "rm", "-f", theirs) if place.started() == [] else None
        ComposeStack.named(place.project, place.folder / ".sevdrill", SystemClock()).down()
        docker("volume", "rm", "-f", theirs)


# -- blast radius and length ------------------------------------------------------------------------------------------

BOTH = {"services": 2, "replicas": "100%"}
KILL_WEB, KILL_DB = {"fault": "container.kill", "service": "web"}, {"fault": "container.kill", "service": "db"}


@pytest.mark.parametrize(
    ("changes", "allowed", "reason"),
    [
        ({"inject": [KILL_WEB]}, "", r"2 of 2 replicas of web, and at most 1, 50% may be hit.*replicas: 100%"),
        ({"inject": [{**KILL_WEB, "replicas": 2}]}, "", "2 of 2 replicas"),
        # One after the other is all of them, too.
        ({"inject": [{**KILL_WEB, "replicas": 1}, {**KILL_WEB, "replicas": 1, "after": "5s"}]}, "", "2 of 2 replicas"),
        ({"inject": [{**KILL_WEB, "replicas": 1}, KILL_DB]}, "", "2 services, and at most 1.*services: 2"),
        # The drill says more, and nobody allows it; it is allowed, and the drill does not say so.
        ({"inject": [KILL_WEB, KILL_DB], "blast_radius": BOTH}, "", "--drill-blast-radius services=2,replicas=100%"),
        ({"inject": [KILL_WEB, KILL_DB]}, "services=2,replicas=100%", r"in the drill \(blast_radius: \{services: 2"),
        ({"inject": [KILL_WEB], "blast_radius": BOTH}, "services=2", "2 of 2 replicas"),
        ({"limit": "31m"}, "", "limit is 31m, and at most 30m are"),
        ({"respond": [{"action": "restart", "service": "db", "timeout": "9h"}]}, "", "restart db: timeout is 9h"),
        ({"inject": [{**KILL_DB, "max": "2d"}]}, "", "max is 2d, and at most 40m"),
        ({"steady_state": {**drill().scenario.steady_state.model_dump(mode="json"), "hold": "2h"}}, "", "hold is 2h"),
    ],
)
def test_a_drill_that_breaks_more_or_longer_than_allowed(
    place: Place, changes: dict[str, Any], allowed: str, reason: str
) -> None:
    from sevdrill.blast import parse

    session = place.session(place.file(SOUND), blast_radius=parse(allowed))
    for run in (session.run, session.preview):
        with pytest.raises(Refused, match=reason):
            run(drill(**changes))
    assert place.started() == []


def test_a_drill_within_its_bounds_is_planned(place: Place) -> None:
    from sevdrill.blast import parse

    session = place.session(place.file(SOUND), blast_radius=parse("services=2 replicas=100%"))
    plan = session.preview(drill(inject=[KILL_WEB, KILL_DB], blast_radius=BOTH))
    assert {name: str(hit) for name, hit in plan.hits.items()} == {"db": "1 of 1 replicas", "web": "2 of 2 replicas"}
    plain = place.session(place.file(SOUND))
    assert str(plain.preview(drill(inject=[KILL_DB])).hits["db"]) == "1 of 1 replicas"


def test_what_the_command_line_and_the_ini_file_allow(place: Place) -> None:
    place.file(SOUND)
    place.file(
        "drill: All down\nseverity: SEV-4\nblast_radius: {replicas: 100%}\nlimit: 20m\n"
        "steady_state: {throughout: true, probes: [{probe: tcp, service: web, port: 1}]}\n"
        "inject: [{fault: container.kill, service: web}]\n",
        "drills/down.yml",
    )
    common = '[tool.pytest]\nstrict = true\ndrill_stack = ["docker-compose.yml"]\n'

    def pytest_says(more: str, *options: str) -> str:
        place.file(common + more, "pyproject.toml")
        command = [sys.executable, "-m", "pytest", "drills", "-p", "no:cacheprovider", "--drill-dry-run", *options]
        environment = {key: value for key, value in os.environ.items() if key != "CI"}
        done = subprocess.run(command, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stdout
        return done.stdout

    assert "at most 1, 50% may be hit" in pytest_says("")
    assert "blast radius: web (2 of 2 replicas)" in pytest_says("", "--drill-blast-radius", "replicas=100%")
    assert "blast radius: web (2 of 2 replicas)" in pytest_says('drill_blast_radius = "replicas=100%"\n')
    assert "at most 15m are allowed" in pytest_says('drill_max_limit = "15m"\n')
    assert 'blast radius "replicas=lots": expected such as' in pytest_says("", "--drill-blast-radius", "replicas=lots")


# -- two runs on one stack --------------------------------------------------------------------------------------------


def test_two_runs_never_share_a_stack(place: Place) -> None:
    file = place.file(SOUND)
    first, second = place.session(file), place.session(file)
    elsewhere = place.session(file, state_dir=place.folder / "elsewhere" / ".sevdrill")
    try:
        assert first.stack.project == place.project
        before = place.started()
        assert before
        with pytest.raises(Refused, match=f"in use by the run with process id {os.getpid()}"):
            second.run(drill())
        # Another folder has locks of its own; the stack itself says whose it is.
        with pytest.raises(Refused, match=f"keeps its files in {place.folder}/.sevdrill"):
            elsewhere.run(drill())
        second.close()
        elsewhere.close()
        assert place.started() == before
    finally:
        first.close()
