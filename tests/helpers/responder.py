"""Plays the on-call person: a process that uses nothing but the commands that people have.

`python responder.py PLAN`, in the folder where the run was started. PLAN is a list of words, done one after the other:
`paged` waits until an alert fires, `healthy` until every steady-state probe is good, `wait:N` for N seconds, and
`ack`, `mitigated`, `restart`, `stop` and `talk` are commands.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

NAME = "Ana"


def sevdrill(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sevdrill", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    if check and done.returncode:
        raise SystemExit(f"sevdrill {' '.join(arguments)}: {done.returncode}: {done.stdout}{done.stderr}")
    print(done.stdout, end="", flush=True)
    return done.stdout if not done.returncode else ""


def until(condition: Callable[[dict[str, Any]], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = sevdrill_status()
        if seen and condition(seen):
            return
        time.sleep(0.2)
    raise SystemExit("it never came")


def sevdrill_status() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "sevdrill", "status", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    return json.loads(done.stdout) if not done.returncode else {}


def do(word: str) -> None:
    what, _, rest = word.partition(":")
    match what:
        case "paged":
            until(lambda seen: bool(seen["alerts"]))
        case "healthy":
            until(lambda seen: all(light["ok"] for light in seen["lights"]))
        case "wait":
            time.sleep(float(rest))
        case "ack" | "mitigated":
            sevdrill(what, "--as", NAME)
        case "restart":
            sevdrill("service", "db", "restart")
        case "stop":
            sevdrill("stop")
        case "talk":
            sevdrill("role", NAME, "commander")
            sevdrill("note", "--as", "Ben", "the database", "is gone")
            sevdrill("announce", "investigating", "--as", NAME)
        case _:
            raise SystemExit(f"what is {word}?")


if __name__ == "__main__":
    for word in sys.argv[1:]:
        do(word)
