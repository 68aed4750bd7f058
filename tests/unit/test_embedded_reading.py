# ruff: noqa: E501 - a mistake and what is said of it are best read side by side
"""Compose files as the embedded stack reads them, and how replicas are started: text only, nothing runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sevdrill.errors import Refused, UsageError
from sevdrill.stacks.embedded.launch import Places
from sevdrill.stacks.embedded.model import Site
from sevdrill.stacks.embedded.reading import Description, read
from sevdrill.stacks.embedded.start import placed
from sevdrill.stacks.loopback import FreePorts

HEAD = "x-sevdrill: {target: staging, proxies: {db: [5432]}, direct: {web: [web-replicas]}, releases: {web: {'1': 'w:1'}}}\n"
FILE = (
    HEAD
    + """
x-python: &python {LISTEN: "{address:3000}", WHO: "{replica} {release}"}
services:
  web:
    image: w:1
    deploy: {replicas: 2}
    expose: ["3000"]
    environment:
      DATABASE_URL: postgresql://u:p@db:5432/shop
      OTHERS: db:5433 mydb:5432 db:54321 x.db:5432 http://web:3000/db:5432
      ALL: "[web-replicas:3000]"
      DATA: /var/lib/shop
      NEAR: /var/lib/shopping /mnt/var/lib/shop /var/lib/shop/uploads,/var/lib/shop
    volumes: ["files:/var/lib/shop:ro"]
    networks: {default: {aliases: [web-replicas]}}
    depends_on: {db: {condition: service_healthy}}
    x-sevdrill:
      process:
        command: [python, "-c", "{port:3000} {folder} {unknown} ${DOLLAR:-none} $$"]
        environment: {<<: *python}
  db:
    expose: [5432]
    stop_grace_period: 2s
    stop_signal: SIGQUIT
    x-sevdrill: {process: {command: [no-such-server], instead: {command: [python], stop_signal: SIGINT}}}
volumes:
  files: {driver_opts: {type: tmpfs, device: tmpfs, o: "mode=1777,size=8m"}}
"""
)


def described(tmp_path: Path, *texts: str) -> Description:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"compose-{number}.yml")
        files[-1].write_text(text, encoding="utf-8")
    return read(files)


def site(tmp_path: Path, *texts: str) -> Site:
    folder = tmp_path / "stack"
    folder.mkdir(exist_ok=True)
    return placed(described(tmp_path, *texts), "stack", folder, False, FreePorts(set()))


def test_what_a_service_is_given_names_where_everything_is(tmp_path: Path) -> None:
    made = site(tmp_path, FILE)
    web, db = made.services["web"], made.services["db"]
    launch = Places(made, None).launch("web", "web-2", "1")
    environment = launch["env"]
    through, own = db.published[5432], [each[3000] for each in web.own.values()]
    assert environment["DATABASE_URL"] == f"postgresql://u:p@127.0.0.1:{through}/shop"
    assert environment["OTHERS"] == (
        f"db:5433 mydb:5432 db:54321 x.db:5432 http://127.0.0.1:{web.published[3000]}/127.0.0.1:{through}"
    )
    assert environment["LISTEN"] == f"127.0.0.1:{own[1]}"
    assert environment["WHO"] == "web-2 1"
    folder = made.folder / "volumes" / "files"
    assert environment["DATA"] == str(folder)
    assert environment["NEAR"] == f"/var/lib/shopping /mnt/var/lib/shop {folder}/uploads,{folder}"
    assert launch["argv"][2] == f"{own[1]} {made.folder}/own/web-2 {{unknown}} none $"
    assert len({through, *own, db.behind[5432], web.behind[3000], made.api}) == 6


def test_names_that_lead_past_the_proxy_are_every_replica(tmp_path: Path) -> None:
    made = site(tmp_path, FILE.replace("proxies: {db: [5432]}", "proxies: {db: [5432], web: [3000]}"))
    own = [each[3000] for each in made.services["web"].own.values()]
    said = Places(made, None).launch("web", "web-1", "1")["env"]["ALL"]
    assert said == f"[127.0.0.1:{own[0]}, 127.0.0.1:{own[1]}]"


def test_volumes_of_a_fixed_size_are_reached_through_their_holder(tmp_path: Path) -> None:
    made = site(tmp_path, FILE)
    assert made.volumes["files"].size == 8 << 20
    web = made.services["web"]
    assert Places(made, 4711).path(web, "/var/lib/shop/x") == f"/proc/4711/root{made.folder}/volumes/files/x"
    assert Places(made, 4711).path(web, "/var/lib/shops") == "/var/lib/shops"


def test_the_rest_of_a_service_is_read(tmp_path: Path) -> None:
    made = described(tmp_path, FILE)
    web, db = made.services["web"], made.services["db"]
    assert (web.replicas, web.release, web.waits_for) == (2, "1", {"db": "service_healthy"})
    assert (db.grace, db.stop_signal, db.stands_in) == (2.0, "SIGINT", "no-such-server")
    assert (db.faulted, web.faulted) == ((5432,), ())


def test_later_files_add_to_earlier_ones_and_replace_x_sevdrill(tmp_path: Path) -> None:
    plain = "services:\n  db: {image: postgres, expose: [1], environment: [A=1, B=2], ports: ['99:5432']}\n"
    drills = (
        "x-sevdrill: {target: staging}\n"
        "services:\n  db: {environment: {B: 3}, x-sevdrill: {process: {command: [python]}}}\n"
    )
    made = described(tmp_path, "x-sevdrill: {target: staging, entry: 'http://a:1'}\n" + plain, drills)
    assert made.settings.entry == ""
    assert made.services["db"].environment == {"A": "1", "B": "3"}
    assert made.services["db"].ports == (1, 5432)


def test_a_stack_that_does_not_say_staging_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not say what it is"):
        described(tmp_path, "services: {web: {x-sevdrill: {process: {command: [python]}}}}\n")


MISTAKES = {
    "services:\n  web: {image: x}\n": r"compose-0\.yml:3: service web has no process",
    "services: {}\n": r"no service in it",
    "services:\n  web: 3\n": r"compose-0\.yml:3: service web is no mapping",
    "include: [x]\nservices: {web: {x-sevdrill: {process: {command: [a]}}}}\n": r"compose-0\.yml:2: include is not read",
    "services: {web: {x-sevdrill: {process: {command: []}}}}\n": r"process\.command: Tuple should have at least 1 item",
    "services: {web: {x-sevdrill: {proces: {command: [a]}}}}\n": r"has no process",
    "services: {web: {x-sevdrill: {process: {command: [a]}}, scale: 0}}\n": r"web has 0 replicas; expected 1 to 20",
    "services: {web: {x-sevdrill: {process: {command: [a]}}, ports: ['53:53/udp']}}\n": r"expected one TCP port",
    "services: {web: {x-sevdrill: {process: {command: [a]}}, depends_on: {x: {condition: service_completed_successfully}}}}\n": (
        r"waits for x with service_completed_successfully"
    ),
    "services: {web: {x-sevdrill: {process: {command: [a]}}, depends_on: [wbe]}}\n": r'there is no service wbe, did you mean "web"',
    "services: {web: {x-sevdrill: {process: {command: [a]}}, stop_grace_period: 3}}\n": r"stop_grace_period is 3, expected",
    "services: {web: {x-sevdrill: {process: {command: ['${A:?b}']}}}}\n": r"expected \$NAME",
    "services: [\n": r"cannot be read as YAML",
    "services:\n  web: {x-sevdrill: {process: {command: [a]}}}\n  web: {x-sevdrill: {process: {command: [b]}}, x: 1}\n": r"x is not read",
}


def test_data_from_outside_the_stack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="volume v: it is external"):
        described(
            tmp_path,
            "x-sevdrill: {target: staging}\n"
            "services: {web: {x-sevdrill: {process: {command: [a]}}}}\nvolumes: {v: {external: true}}\n",
        )


def test_a_service_that_uses_production_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="looks like production"):
        described(tmp_path, FILE.replace("expose: [5432]", "expose: [5432]\n    environment: {DB_HOST: db.prod}"))


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_named_with_their_places(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=MISTAKES[text]):
        described(tmp_path, "x-sevdrill: {target: staging}\n" + text)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = "x-sevdrill: {target: staging}\nservices:\n  web: {privileged: true}\n  db: {devices: [x]}\n"
    with pytest.raises(UsageError) as error:
        described(tmp_path, text)
    assert str(error.value).count("\n") == 1


def test_a_placeholder_without_a_meaning_is_refused(tmp_path: Path) -> None:
    made = site(tmp_path, FILE.replace("{port:3000}", "{port:3001}"))
    with pytest.raises(UsageError, match=r"service web: \{port:3001\}: it has no port 3001 \(it has: 3000\)"):
        Places(made, None).launch("web", "web-1", "1")


def test_the_environment_of_the_run_is_not_given_to_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "xyzzy")
    launch = Places(site(tmp_path, FILE), None).launch("web", "web-1", "1")
    assert "SOME_SECRET" not in launch["env"]
    assert os.environ["SOME_SECRET"]


def test_a_release_is_its_files_laid_over_each_other(tmp_path: Path) -> None:
    for name, text in {"app/a.py": "a", "app/b.py": "b", "app/notes": "n", "releases/1/b.py": "b of 1"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    copied = 'copy: {code: [app/*.py, "releases/{release}"]}, command'
    made = site(
        tmp_path,
        FILE.replace(
            "        command: [python", "        " + copied.replace(", command", "") + "\n        command: [python"
        ),
    )
    launch = Places(made, None).launch("web", "web-1", "1")
    found = {path.name: path.read_text() for path in (Path(launch["cwd"]) / "code").iterdir()}
    assert found == {"a.py": "a", "b.py": "b of 1"}


def test_a_variable_that_only_a_dotenv_file_sets_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_NAME", raising=False)
    text = FILE.replace("expose: [5432]", "expose: [5432]\n    environment: {NAME: '${SHOP_NAME:-none}'}")
    assert described(tmp_path, text).services["db"].environment["NAME"] == "none"
    (tmp_path / ".env").write_text("# of ours\nOTHER=1\nexport SHOP_NAME='a shop'\n")
    with pytest.raises(UsageError, match=r"\$SHOP_NAME is set in .*\.env, which the embedded stack does not read"):
        described(tmp_path, text)
    monkeypatch.setenv("SHOP_NAME", "from the run")
    assert described(tmp_path, text).services["db"].environment["NAME"] == "from the run"


PROFILED = HEAD.replace(
    "proxies: {db: [5432]}", "proxies: {}, databases: {db: [psql]}, ledgers: {rows: {service: db, read: [psql]}}"
)
SERVICES = """
services:
  web: {expose: ["80"], x-sevdrill: {process: {command: [python]}}}
  db: {profiles: [standby], expose: ["5432"], x-sevdrill: {process: {command: [python]}}}
"""


def test_what_belongs_to_a_profile_is_there_when_it_is_on(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(PROFILED.replace(", releases: {web: {'1': 'w:1'}}", "") + SERVICES)
    without, having = read([file]), read([file], ["standby"])
    assert list(without.services) == ["web"]
    assert without.settings.databases == {}
    assert without.settings.ledgers == {}
    assert list(having.services) == ["web", "db"]
    assert (list(having.settings.databases), list(having.settings.ledgers)) == (["db"], ["rows"])
