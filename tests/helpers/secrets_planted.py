"""Twenty secrets, each where a stack, a drill or this machine would hold it, and text that lets all of them slip."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from toy_stack import ToyStack, Users, Watch

from sevdrill.errors import StackError
from sevdrill.ports import Alert, Evidence, Load, Monitoring, Page, Pager, Ports

KEY_LINES = [f"MIIEow{n}BAAKCAQEAplantedline{n}" for n in range(3)]
PEM = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *KEY_LINES, "-----END RSA PRIVATE KEY-----"])
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVkIjoidHJ1ZSJ9.c2lnbmF0dXJlLXBsYW50ZWQ"

# What is known by the key that it stands under: it is masked wherever it slips.
KNOWN = {
    "environment": "pl4nted-in-the-environment",
    "with quotes": 'pl4nted "quoted" \\ here',
    "with dollars": "pl4nted$with$dollars",
    "of many lines": PEM,
    "of letters": "correcthorsebatterystaple",
    "in a list": "pl4nted-second-of-a-list",
    "in a URL": "pl4nted/in:a@url",
    "secret file": "pl4nted-in-a-secret-file",
    "secret variable": "pl4nted-in-a-secret-variable",
    "argument": "pl4nted-after-an-argument",
    "build argument": "pl4nted-build-argument",
    "own environment": "pl4nted-in-our-own-environment",
    "webhook": "https://hooks.example/T0/pl4nted-webhook",
}
# What nobody can know, and only its place or its shape gives away.
SHAPED = {
    "URL": "pl4nturlpassword",
    "query": "pl4ntquerytoken",
    "bearer": "pl4ntbearer0001",
    "basic": base64.b64encode(b"user:pl4ntbasic").decode(),
    "cookie": "pl4ntsession",
    "short": "pl4x",
    "token web": JWT,
    "cloud": "AKIAPLANTEDPLANTED01",
}
PLANTED = [*KNOWN.values(), *SHAPED.values()]

LEAK = " ".join(
    [
        *(f"seen {value}" for value in KNOWN.values() if value != PEM),
        json.dumps(list(KNOWN.values())),
        *(quote(value, safe="") for value in KNOWN.values()),
        f"postgresql://shop:{SHAPED['URL']}@db:5432/shop",
        f"GET http://app/x?page=1&access_token={SHAPED['query']}&y=2",
        f"Authorization: Bearer {SHAPED['bearer']} -",
        f"authorization=Basic {SHAPED['basic']} -",
        f"{{'password': '{SHAPED['short']}'}} DB_PASSWORD={SHAPED['short']}",
        f"{SHAPED['token web']} {SHAPED['cloud']}",
        f"Set-Cookie: id={SHAPED['cookie']}; HttpOnly",
    ]
)


def compose(folder: str) -> dict[str, Any]:
    """A Compose model, as `docker compose config` prints it."""
    return {
        "services": {
            "db": {
                "image": "postgres",
                "environment": {
                    "DB_PASSWORD": KNOWN["environment"],
                    "API_TOKEN": KNOWN["with quotes"],
                    "SESSION_SECRET": KNOWN["with dollars"].replace("$", "$$"),
                    "TLS_KEY": PEM,
                    "passphrase": KNOWN["of letters"],
                    "PROVIDER_KEYS": f"staging,{KNOWN['in a list']}",
                    "DATABASE_URL": f"postgresql://u:{quote(KNOWN['in a URL'], safe='')}@db/x",
                    "POSTGRES_USER": "shop",
                },
                "command": ["serve", "--api-key", KNOWN["argument"], "-v"],
                "build": {"args": {"NPM_TOKEN": KNOWN["build argument"]}},
            }
        },
        "secrets": {"file": {"file": f"{folder}/secret.txt"}, "variable": {"environment": "PLAIN_NAME"}},
    }


class LeakyStack(ToyStack):
    """A toy stack that says everything it knows, wherever it can say something."""

    project = "toy"
    title = "toy, project toy"
    fails = False
    was_begun = True

    def ports(self) -> Ports:
        watch = Watch(self)
        return super().ports().with_({Load: Users(self), Monitoring: watch, Pager: watch, Evidence: self})

    def start(self, service: str, replicas: object) -> None:
        print(LEAK)
        if self.fails:
            self.fails = False
            raise StackError(f"db-1 does not start:\n{LEAK}")
        super().start(service, [])

    def alerts(self) -> list[Alert]:
        return [Alert(alert.name, {**alert.labels, "leak": LEAK, "token": "shrt"}) for alert in super().alerts()]

    def pages(self, since: int) -> list[Page]:
        found = super().pages(since)
        return [Page(p.id, p.kind, p.status, [*p.alerts, {"name": LEAK, "password": "shrt"}]) for p in found]

    def rows(self, ledger: str) -> list[str]:
        return [*super().rows(ledger), LEAK]

    def collect(self, folder: Any, since: object) -> list[Any]:
        folder.mkdir()
        (folder / "db.log").write_bytes(f"{LEAK}\n{PEM}\n".encode() + b"\xff\xfe")
        return [folder / "db.log"]

    # What the session asks of a stack
    def descriptor(self) -> dict[str, Any]:
        return {"kind": "compose", "project": self.project}

    def is_up(self) -> bool:
        return True

    def down(self) -> None:
        pass

    def reach(self) -> list[str]:
        return [LEAK]
