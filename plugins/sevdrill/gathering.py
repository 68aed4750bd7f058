"""Evidence that is gathered alike from every stack: what its metrics say, which releases ran, what changed of late."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from sevdrill.actions.evidence import archived
from sevdrill.errors import SevdrillError
from sevdrill.ports import Endpoints, Environment, Lifecycle, Monitoring, Ports, Release
from sevdrill.probes.web import download

__all__ = ["Surveys", "copy_archives", "gather"]

MOST = 4 * 1024 * 1024
"""Bytes of one file at most."""
MOST_ARCHIVED = 64 * 1024 * 1024
"""Bytes of one copied log archive at most."""
ARCHIVE_TIMEOUT = 60.0
"""Seconds that the copy of one may take."""
COMMITS = 10
"""Commits that are told at most: the SOPs look at the last ten."""


@runtime_checkable
class Surveys(Protocol):
    """A monitoring that can tell what it measured."""

    def survey(self, seconds: float) -> dict[str, Any]:
        """JSON documents by file name, about the last ``seconds``.

        Raises:
            StackError: it did not say.
        """


def gather(ports: Ports, folder: Path, seconds: float, root: Path) -> list[Path]:
    """Write what is known of the last ``seconds`` into ``folder``; the files written.

    ``root`` is the project under drill: what changed there of late is told as well. What cannot be read is said in the
    file that should have it: a review must not fail for it.
    """
    documents: dict[str, Any] = {}
    if Monitoring in ports:
        monitoring = ports[Monitoring]
        if isinstance(monitoring, Surveys):
            documents = _asked(partial(monitoring.survey, seconds), "prometheus.json")
    releases = _asked(partial(_releases, ports), "error") if Release in ports and Lifecycle in ports else {}
    configured = _asked(partial(_configurations, ports), "error") if Environment in ports and Lifecycle in ports else {}
    documents["changes.json"] = {**releases, **configured, "commits": _commits(root)}
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, document in documents.items():
        text = json.dumps(document, indent=1, default=str) + "\n"
        if len(text) > MOST:
            text = json.dumps({"error": f"left out: it has {len(text)} bytes, and {MOST} are kept at most"}) + "\n"
        files.append(folder / name)
        files[-1].write_text(text, encoding="utf-8")
    return files


def copy_archives(ports: Ports, folder: Path, urls: Iterable[str]) -> list[Path]:
    """Copy the newest log archive of each place into ``folder``: what is kept in a stack goes with it.

    What cannot be copied, or is not what its sum says, is said in a file in its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, url in enumerate(dict.fromkeys(urls), start=1):
        name = f"archive-{number}-{urlsplit(url).hostname}"
        try:
            file, content = folder / f"{name}.jsonl", _copied(ports, url)
        except (SevdrillError, OSError) as error:
            file, content = folder / f"{name}.txt", f"not copied: {error}\n".encode()
        file.write_bytes(content)
        files.append(file)
    return files


def _copied(ports: Ports, url: str) -> bytes:
    wanted = archived(ports, url)["sha256"]
    status, content = download(ports[Endpoints].url(f"{url}/copy"), ARCHIVE_TIMEOUT, MOST_ARCHIVED + 1)
    if status != 200:
        raise OSError(f"{url}/copy answered {status}")
    if len(content) > MOST_ARCHIVED:
        raise OSError(f"{url}/copy has more than {MOST_ARCHIVED} bytes, and no more are kept")
    if hashlib.sha256(content).hexdigest() != wanted:
        raise OSError(f"{url}/copy gave something else than what has the sha256 {wanted}")
    return content


def _asked(work: Callable[[], dict[str, Any]], name: str) -> dict[str, Any]:
    """What there is to tell, or under ``name`` why there is nothing."""
    try:
        return work()
    except (SevdrillError, KeyError, TypeError, ValueError, AttributeError) as error:
        return {name: {"error": f"{type(error).__name__}: {error}"}}


def _releases(ports: Ports) -> dict[str, Any]:
    release = ports[Release]
    named = [service for service in ports[Lifecycle].services() if release.releases(service)]
    return {
        "releases": {s: {"deployed": release.deployed(s), "history": release.history(s)} for s in named},
    }


def _configurations(ports: Ports) -> dict[str, Any]:
    """Revisions by number, of services whose configuration was changed; their values stay with the stack."""
    environment = ports[Environment]
    changed = [s for s in ports[Lifecycle].services() if len(environment.history(s)) > 1]
    return {
        "configurations": {s: {"running": environment.running(s), "history": environment.history(s)} for s in changed}
    }


def _commits(root: Path) -> list[str]:
    """The last commits of the project; none where there is no git, or no repository."""
    command = ["git", "-C", str(root), "log", "--format=%h %cI %s", f"-{COMMITS}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
