"""Interposition on small models, as `docker compose config` prints them; no engine."""

import copy
import itertools
import json
from pathlib import Path

import pytest

from sevdrill.errors import Refused, UsageError
from sevdrill.stacks.files import load_printed, service_names
from sevdrill.stacks.loopback import outside_ephemeral
from sevdrill.stacks.rewrite import LAYOUT, PROJECT, Layout, rewrite, without_ports
from sevdrill.stacks.safety import refuse_production
from sevdrill.stacks.settings import read_settings


def interpose(services, *, proxies=None, image_ports=None, networks=None, volumes=None, **settings):
    model = {
        "services": services,
        "networks": networks or {"default": {"name": "orig_default"}},
        "volumes": volumes or {},
    }
    for service in services.values():
        if "network_mode" not in service:
            service.setdefault("networks", {"default": None})
    raw = {"target": "staging", "proxies": proxies or {}, **settings}
    before = copy.deepcopy(model)
    numbers = itertools.count(20000)
    document, layout = rewrite(
        model, read_settings(raw, services, "x.yml"), "drill", lambda _, __: next(numbers), image_ports
    )
    assert model == before, "the input was changed"
    return document, layout


def db(**more):
    return {"image": "postgres:16", "expose": ["5432"], **more}


def test_a_proxy_takes_the_name_and_aliases_and_the_service_moves_behind_it():
    document, layout = interpose(
        {
            "db": db(
                networks={"back": {"aliases": ["database", "db-direct"], "ipv4_address": "10.5.0.5"}},
                container_name="thedb",
            )
        },
        proxies={"db": [5432]},
        direct={"db": ["db-direct"]},
        networks={"back": {"name": "orig_back", "ipam": {"config": [{"subnet": "10.5.0.0/16"}]}}},
    )
    services = document["services"]
    assert sorted(services) == ["db--proxy", "db--real"]
    assert services["db--proxy"]["networks"] == {"back": {"aliases": ["db", "thedb", "database"]}}
    assert services["db--real"]["networks"] == {"back": {"aliases": ["db-direct"]}}
    assert "container_name" not in services["db--real"]
    assert document["networks"] == {"back": {"labels": {PROJECT: "drill"}}}
    [config] = json.loads(document["configs"]["db--proxy"]["content"])
    assert (config["listen"], config["upstream"]) == ("[::]:5432", "db--real:5432")
    assert layout.services["db"].faulted == (5432,)


def test_fixed_loopback_ports_for_proxies_and_single_services_ephemeral_ones_for_the_rest():
    document, layout = interpose(
        {
            "db": db(ports=[{"target": 5432, "published": "5432", "host_ip": "0.0.0.0"}]),
            "web": {"image": "w", "expose": ["80", "53/udp"], "deploy": {"replicas": 1}},
            "app": {"image": "a", "expose": ["3000"], "scale": 2},
        },
        proxies={"db": []},
    )

    def ports(name):
        return {(p["target"], p["host_ip"], p.get("published")) for p in document["services"][name]["ports"]}

    where = layout.services
    assert ports("db--proxy") == {
        (5432, "127.0.0.1", str(where["db"].published[5432])),
        (8474, "127.0.0.1", str(where["db"].api)),
    }
    assert ports("db--real") == {(5432, "127.0.0.1", None)}
    assert ports("web") == {(80, "127.0.0.1", str(where["web"].published[80])), (53, "127.0.0.1", None)}
    assert ports("app") == {(3000, "127.0.0.1", None)}
    assert len({p for w in where.values() for p in (*w.published.values(), w.api) if p}) == 3
    assert Layout.model_validate(json.loads(json.dumps(document[LAYOUT]))) == layout


def test_ports_come_from_ports_then_expose_then_the_image():
    services = {
        "one": {"image": "i", "ports": [{"target": 1000}], "expose": ["1001"]},
        "two": {"image": "i", "expose": ["2000-2001"]},
        "three": {"image": "i"},
    }
    _, layout = interpose(
        services, proxies={"one": [], "two": [], "three": []}, image_ports={"three": [3000], "two": [9]}
    )
    assert layout.services["one"].faulted == (1000,)
    assert layout.services["one"].passed == (1001,), "clients of the name need the other ports as well"
    assert layout.services["two"].faulted == (2000, 2001)
    assert layout.services["three"].faulted == (3000,)
    settings = read_settings({"target": "staging", "proxies": {"one": [], "two": [], "three": []}}, services, "x")
    assert without_ports({"services": services}, settings) == ["three"]


def test_the_proxy_api_gives_way_to_a_service_on_its_port():
    document, _ = interpose({"t": {"image": "i", "expose": ["8474"]}}, proxies={"t": []})
    assert "-port=8475" in document["services"]["t--proxy"]["command"]


def test_everything_that_names_a_service_finds_the_right_half():
    document, _ = interpose(
        {
            "db": db(healthcheck={"test": ["CMD", "true"]}),
            "app": {
                "image": "a",
                "depends_on": {
                    "db": {"condition": "service_healthy", "restart": True, "required": True},
                    "off": {"condition": "service_started", "required": False},
                },
                "links": ["db", "db:store", "side"],
                "profiles": ["x"],
            },
            "side": {
                "image": "s",
                "network_mode": "service:db",
                "pid": "service:db",
                "ipc": "service:app",
                "volumes_from": ["db:ro", "app"],
            },
        },
        proxies={"db": []},
    )
    app, side = document["services"]["app"], document["services"]["side"]
    assert app["depends_on"] == {
        "db--real": {"condition": "service_healthy", "restart": True, "required": True},
        "db--proxy": {"condition": "service_started", "required": True},
    }
    assert app["links"] == ["db--proxy:db", "db--proxy:store", "side"]
    assert "profiles" not in app
    assert (side["network_mode"], side["pid"], side["ipc"]) == ("service:db--real", "service:db--real", "service:app")
    assert side["volumes_from"] == ["db--real:ro", "app"]
    assert "ports" not in side
    assert document["services"]["db--real"]["healthcheck"] == {"test": ["CMD", "true"]}
    assert "healthcheck" not in document["services"]["db--proxy"]


def test_names_and_addresses_are_the_projects_own():
    document, _ = interpose(
        {
            "a": {
                "image": "a",
                "container_name": "the-a",
                "restart": "always",
                "mac_address": "02:42:ac:11:65:43",
                "networks": {"n": {"ipv6_address": "fd::1", "priority": 3}},
            }
        },
        networks={
            "n": {"name": "shared", "driver": "bridge", "driver_opts": {"com.docker.network.bridge.name": "br7"}}
        },
        volumes={"data": {"name": "real-data", "labels": {"x": "y"}}},
    )
    a = document["services"]["a"]
    assert a["networks"] == {"n": {"priority": 3, "aliases": ["the-a"]}}
    assert a["restart"] == "always"
    assert "mac_address" not in a
    assert "container_name" not in a
    assert a["labels"][PROJECT] == "drill"
    assert document["name"] == "drill"
    assert document["networks"]["n"] == {"driver": "bridge", "labels": {PROJECT: "drill"}}
    assert document["volumes"]["data"] == {"labels": {"x": "y", PROJECT: "drill"}}


def test_built_services_share_one_image_between_projects():
    build = {"context": "/x", "dockerfile": "Dockerfile"}
    document, _ = interpose({"a": {"build": build, "pull_policy": "build"}, "b": {"build": build, "image": "mine:1"}})
    again, _ = interpose({"a": {"build": build}})
    assert document["services"]["a"]["image"] == again["services"]["a"]["image"]
    assert document["services"]["b"]["image"] == "mine:1"
    assert "pull_policy" not in document["services"]["a"]


def test_a_proxy_on_internal_networks_only_can_still_be_reached():
    document, layout = interpose(
        {"db": db(), "cache": {"image": "r", "expose": ["6379"]}},
        proxies={"db": []},
        networks={"default": {"internal": True}},
    )
    assert "sevdrill-reach" in document["services"]["db--proxy"]["networks"]
    assert "sevdrill-reach" in document["networks"]
    assert list(document["services"]["db--real"]["networks"]) == ["default"]
    assert "ports" not in document["services"]["cache"]
    assert not layout.services["cache"].published


def test_a_service_that_others_wait_for_to_end_is_a_job():
    wait = {"migrate": {"condition": "service_completed_successfully"}}
    _, layout = interpose({"migrate": {"image": "m"}, "app": {"image": "a", "depends_on": wait}})
    assert layout.services["migrate"].job
    assert not layout.services["app"].job


@pytest.mark.parametrize(
    ("service", "permission"),
    [
        ({"network_mode": "host"}, "host-network"),
        ({"network_mode": "container:abc"}, "external-networks"),
        ({"external_links": ["other"]}, "external-networks"),
        ({"volumes_from": ["container:other"]}, "external-volumes"),
        ({"volumes": [{"type": "bind", "source": "/srv", "target": "/x"}]}, "bind-mounts"),
        (
            {"volumes": [{"type": "bind", "source": "/run/docker.sock", "target": "/x", "read_only": True}]},
            "bind-mounts",
        ),
    ],
)
def test_what_a_service_shares_is_refused_until_it_is_allowed(service, permission):
    with pytest.raises(Refused, match=rf"service a: .*allow: \[{permission}\]"):
        interpose({"a": {"image": "a", **copy.deepcopy(service)}})
    interpose({"a": {"image": "a", **service}}, allow=[permission])


@pytest.mark.parametrize(
    ("key", "definition", "permission"),
    [
        ("volumes", {"external": True, "name": "prod"}, "external-volumes"),
        ("volumes", {"driver_opts": {"type": "none", "o": "bind", "device": "/srv"}}, "bind-mounts"),
        ("volumes", {"driver_opts": {"type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/x"}}, "external-volumes"),
        ("networks", {"external": True, "name": "lan"}, "external-networks"),
        ("networks", {"driver": "macvlan"}, "external-networks"),
    ],
)
def test_shared_volumes_and_networks_are_refused_until_allowed(key, definition, permission):
    with pytest.raises(Refused, match=rf"{key[:-1]} shared: .*allow: \[{permission}\]"):
        interpose({"a": {"image": "a"}}, **{key: {"shared": definition}})
    document, _ = interpose({"a": {"image": "a"}}, **{key: {"shared": definition}}, allow=[permission])
    if definition.get("external"):
        assert document[key]["shared"] == definition, "an external one keeps its name"


def test_read_only_binds_and_tmpfs_volumes_are_fine():
    bind = {"type": "bind", "source": "/srv", "target": "/x", "read_only": True}
    tmpfs = {"driver_opts": {"type": "tmpfs", "device": "tmpfs"}}
    interpose({"a": {"image": "a", "volumes": [bind, {"type": "tmpfs", "target": "/t"}]}}, volumes={"t": tmpfs})


def test_a_proxy_needs_a_network_ports_and_free_names():
    with pytest.raises(UsageError, match=r"proxies\.a.*no network of its own"):
        interpose({"a": {"image": "a", "network_mode": "none", "expose": ["1"]}}, proxies={"a": []})
    with pytest.raises(UsageError, match=r"proxies\.a.*on which port it listens"):
        interpose({"a": {"image": "a"}}, proxies={"a": []})
    with pytest.raises(UsageError, match=r"service a--proxy already"):
        interpose({"a": db(), "a--proxy": {"image": "x"}}, proxies={"a": []})


@pytest.mark.parametrize("raw", [None, {}, {"proxies": {}}, {"target": "production"}, "staging"])
def test_only_what_says_staging(raw):
    with pytest.raises(Refused, match=r"x-sevdrill: \{target: staging\}"):
        read_settings(raw, ["db"], "docker-compose.yml")


def test_every_mistake_of_the_settings_is_told_at_once():
    raw = {"target": "staging", "proxis": {}, "releases": [], "monitoring": {"alertmanager": "am:9093"}}
    with pytest.raises(UsageError) as caught:
        read_settings(raw, ["db"], "c.yml")
    text = str(caught.value)
    assert 'x-sevdrill.proxis: unknown key, did you mean "proxies"?' in text
    assert "x-sevdrill.releases" in text
    assert "x-sevdrill.monitoring.alertmanager" in text
    with pytest.raises(UsageError, match=r'no service "dbs", did you mean "db"\?'):
        read_settings({"target": "staging", "proxies": {"dbs": []}}, ["db"], "c.yml")


def test_dollars_that_compose_escaped_are_dollars_again():
    raw = {"target": "staging", "ledgers": {"o": {"service": "db", "read": ["sh", "-c", "echo $$X"]}}}
    assert read_settings(raw, ["db"], "c.yml").ledgers["o"].read[2] == "echo $X"


@pytest.mark.parametrize("name", ["shop-prod", "production", "docker-compose.live.yml", "PROD_shop"])
def test_production_names_are_refused(name):
    with pytest.raises(Refused, match="looks like production"):
        refuse_production({"project": name})


@pytest.mark.parametrize("name", ["product-shop", "reproduction", "delivery", "olive", "staging"])
def test_names_that_only_sound_like_it_are_not(name):
    refuse_production({"project": name})


def test_service_names_without_an_engine(tmp_path: Path):
    (tmp_path / "a.yml").write_text("include: [sub.yml]\nservices:\n  app: {image: x}\n  db: !override {image: y}\n")
    (tmp_path / "sub.yml").write_text("services: {mail: {image: m}}\n")
    (tmp_path / "b.yml").write_text("x-sevdrill: {target: staging}\nservices: {app: {ports: !reset []}}\n")
    assert service_names([tmp_path / "a.yml", tmp_path / "b.yml"]) == ["app", "db", "mail"]
    (tmp_path / "c.yml").write_text("- no\n")
    with pytest.raises(UsageError, match=r"c\.yml: is no Compose file"):
        service_names([tmp_path / "c.yml"])
    with pytest.raises(UsageError, match=r"gone\.yml: cannot be read"):
        service_names([tmp_path / "gone.yml"])


def test_what_compose_prints_is_read_as_compose_means_it():
    text = 'services: {a: {environment: {A: "1", B: on, C: 2020-01-01, D: 12:30}, scale: 2, init: true, mode: 0o14}}\n'
    assert load_printed(text)["services"]["a"] == {
        "environment": {"A": "1", "B": "on", "C": "2020-01-01", "D": "12:30"},
        "scale": 2,
        "init": True,
        "mode": "0o14",
    }


def test_picked_ports_are_outside_what_the_kernel_hands_out():
    low, high = outside_ephemeral()
    assert 1024 < low < high <= 65536
    kernel_low, kernel_high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert high <= kernel_low or low > kernel_high
