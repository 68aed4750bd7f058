"""Secrets of a real stack: its services tell all of them, and nothing that a run leaves has one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.stack

SECRETS = {
    "environment": "pl4nted-environment-value",
    "url": "pl4nted-url-value",
    "file": "pl4nted-file-value",
    "variable": "pl4nted-variable-value",
    "argument": "pl4nted-argument-value",
    "with dollars": 'pl4nted$3"quoted',
}
COMPOSE = """
x-sevdrill: {target: staging}
services:
  web:
    image: debian:bookworm-slim
    init: true
    expose: ["8000"]
    environment:
      DB_PASSWORD: pl4nted-environment-value
      DATABASE_URL: postgresql://shop:pl4nted-url-value@db:5432/shop
      SESSION_SECRET: 'pl4nted$$3"quoted'
    secrets: [in-a-file, in-a-variable]
    command:
      - perl
      - -MIO::Socket::INET
      - -e
      - |
        $$all = join " ", map { "$$_=$$ENV{$$_}" } sort keys %ENV;
        for (glob "/run/secrets/*") { open F, $$_; $$all = <F> . " $$all" }
        $$all = "login pl4nted-environment-value with @ARGV $$all";
        $$s = IO::Socket::INET->new(LocalPort => 8000, Listen => 50, ReuseAddr => 1) or die;
        while ($$c = $$s->accept) { print STDERR "$$all\\n"; print $$c "HTTP/1.0 200 OK\\r\\n\\r\\n$$all";
          shutdown $$c, 1; <$$c>; close $$c }
      - "--"
      - --api-token
      - pl4nted-argument-value
    healthcheck: {test: [CMD, bash, -c, "exec 3<>/dev/tcp/127.0.0.1/8000"], interval: 300ms, retries: 20}
  db: {image: debian:bookworm-slim, init: true, command: [sleep, "600"]}
secrets:
  in-a-file: {file: ./secret.txt}
  in-a-variable: {environment: PLAIN_NAME}
"""
DRILL = """
drill: Telling all
severity: SEV-4
steady_state:
  hold: 500ms
  throughout: true
  probes: [{probe: http, name: web, url: "http://u:pl4nted-in-the-drill@web:8000/?token=pl4nted-in-the-drill"}]
inject: [{fault: container.kill, service: db}]
effect: [{probe: http, url: "http://web:8000/", status: "500"}]
respond: [{action: restart, service: db}]
limit: 3s
"""


def test_nothing_that_a_run_on_a_real_stack_leaves_holds_a_secret(engine: object, tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(COMPOSE, encoding="utf-8")
    (tmp_path / "drill.yml").write_text(DRILL, encoding="utf-8")
    (tmp_path / "secret.txt").write_text(SECRETS["file"], encoding="utf-8")
    ini = ["[tool.pytest]", "strict = true", 'addopts = ["-p", "no:cacheprovider"]', 'drill_stack = ["compose.yml"]']
    (tmp_path / "pyproject.toml").write_text("\n".join([*ini, 'drill_patience = "20s"', ""]), encoding="utf-8")
    inputs = {path.name for path in tmp_path.iterdir()}
    environment = {**os.environ, "PLAIN_NAME": SECRETS["variable"]}
    environment.pop("CI", None)
    command = [sys.executable, "-m", "pytest", "drill.yml", "-v", "--junit-xml=junit.xml"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    shown = done.stdout + done.stderr
    assert (tmp_path / "drill-runs").is_dir(), shown
    (folder,) = (tmp_path / "drill-runs").glob("*/drill")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    # The drill asks for an effect that never comes, so that its probe tells what the service says.
    assert summary["outcome"] == "invalid", shown
    assert any("never became true" in reason for reason in summary["reasons"])
    found = {"output": shown}
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name not in inputs:
            found[str(path.relative_to(tmp_path))] = path.read_bytes().decode("utf-8", "replace")
    logs = [text for name, text in found.items() if name.endswith(".log") and "evidence" in name]
    assert any("DB_PASSWORD=MASKED" in text and "login MASKED with --api-token MASKED" in text for text in logs)
    assert any("login MASKED" in text for name, text in found.items() if name.endswith("timeline.jsonl"))
    for secret in (*SECRETS.values(), json.dumps(SECRETS["with dollars"])[1:-1], "pl4nted-in-the-drill", "pl4nted"):
        assert [name for name, text in found.items() if secret in text] == [], secret
