"""Sends messages to receivers, by Apprise URLs, beside the drill: nothing here can delay or fail it.

Each receiver has a thread and a process (`sevdrill.sending`) of its own. What became of a message is told to whoever
asked; a receiver that hangs is ended with its process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from urllib.parse import unquote, urlsplit

from sevdrill.errors import UsageError
from sevdrill.masking import MASKER

__all__ = ["Address", "Notifier", "check_addresses", "parse_address"]

HANGS = 25.0
"""Seconds until a process that does not answer is ended: starting it, and the longest that a message may take."""
SETTLE = 10.0
"""Seconds that a drill which is over waits for receivers to take its last messages."""
_ENTRY = re.compile(r"^(?:(?P<tags>[A-Za-z][\w -]*(?:,[\w -]+)*)=)?(?P<url>[A-Za-z][A-Za-z0-9+.-]*://\S+)$")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Address:
    """Where messages go."""

    url: str
    """An Apprise URL; it is a secret."""
    tags: frozenset[str] = frozenset()
    """Whose messages go there, such as `status-page`; none: everybody's."""
    name: str = ""
    """What people call it: its kind and its place, without any secret."""

    def takes(self, to: str) -> bool:
        """Whether messages to these readers go there."""
        return not self.tags or to.casefold() in self.tags


def parse_address(text: str, where: str) -> Address:
    """Read ``URL`` or ``reader,reader=URL``; ``${NAME}`` in it is a variable of the environment.

    Raises:
        UsageError: it is neither, or the variable is not set.
    """
    for name in _VARIABLE.findall(text):
        if not os.environ.get(name):
            raise UsageError(f"{where}: the environment has no variable {name}; set it, or take the receiver out")
    text = _VARIABLE.sub(lambda found: os.environ[found[1]], text.strip())
    found = _ENTRY.match(text)
    if found is None:
        # What was written may be half a secret.
        raise UsageError(
            f"{where}: expected an Apprise URL such as json://host/path or ${{VARIABLE}}, "
            "with readers before it if it is not for all: status-page,team=json://host/path"
        )
    url = found["url"]
    MASKER.learn(_secrets(url))
    tags = frozenset(tag.strip().casefold() for tag in (found["tags"] or "").split(",") if tag.strip())
    return Address(url, tags, f"{urlsplit(url).scheme} ({where})")


def _secrets(url: str) -> Iterable[str]:
    """What of a URL is, or may be, a secret: all but the name of a host."""
    parts = urlsplit(url)
    yield url
    host = parts.netloc.rpartition("@")[2]
    pieces = [*parts.netloc.rpartition("@")[0].split(":"), *parts.path.split("/"), *re.split(r"[&=]", parts.query)]
    if "." not in host and ":" not in host:
        pieces.append(host)  # many a kind has a token in the place of a host
    for piece in pieces:
        # Short ones are words such as `api` or `hooks`.
        if len(piece) >= 10:
            yield from (piece, unquote(piece))


def check_addresses(addresses: Sequence[Address]) -> None:
    """See that the library is there and knows the URLs; sends nothing.

    Raises:
        UsageError: it is not there, or does not know one.
    """
    if not addresses:
        return
    if importlib.util.find_spec("apprise") is None:
        raise UsageError("to send messages, install Apprise: pip install 'pytest-sevdrill[notify]'")
    urls = json.dumps([address.url for address in addresses])
    try:
        command = [sys.executable, "-m", "sevdrill.sending", "--check"]
        ended = subprocess.run(command, input=urls + "\n", capture_output=True, text=True, timeout=60, check=True)
        known: list[bool] = json.loads(ended.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return  # then each message says for itself that it was not sent
    for address, ok in zip(addresses, known, strict=True):
        if not ok:
            raise UsageError(f"{address.name}: Apprise does not know this kind of URL, or a part of it is missing")


Heard = Callable[[str, bool, str], None]
"""Told of each try: the receiver's name, whether it worked, and why not."""


@dataclass
class _Job:
    title: str
    body: str
    heard: Heard
    others: tuple[Address, ...] = ()
    """Where it goes when this receiver fails: the next way to reach the same person."""


@dataclass
class _Receiver:
    address: Address
    notifier: Notifier
    queue: SimpleQueue[_Job | None] = field(default_factory=SimpleQueue)
    process: subprocess.Popen[str] | None = None
    hung: bool = False
    """Whether it left a message without an answer: then nobody waits for it again."""

    def work(self) -> None:
        while (job := self.queue.get()) is not None:
            ok, why = self._send(job)
            self.hung = not ok and "no answer" in why
            self.notifier.ended(job, self.address, ok, why)
        self.end()

    def _send(self, job: _Job) -> tuple[bool, str]:
        try:
            process = self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"title": job.title, "body": job.body}) + "\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], HANGS)[0]:
                self.end()
                return False, f"no answer within {HANGS:g} s"
            said = json.loads(process.stdout.readline())
            return bool(said["ok"]), str(said["why"])
        except (OSError, ValueError, KeyError) as error:
            self.end()
            return False, f"the sender ended ({type(error).__name__})"

    def _start(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            # Not in our group: Ctrl-C is for the drill. What it is told comes by its input, which no `ps` shows.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sevdrill.sending"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"url": self.address.url}) + "\n")
        return self.process

    def end(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            try:
                assert stream is not None
                stream.close()
            except OSError:
                pass


class Notifier:
    """Sends messages to the addresses whose readers they are for."""

    def __init__(self, addresses: Sequence[Address] = ()) -> None:
        self.addresses = tuple(addresses)
        self._receivers: dict[str, _Receiver] = {}
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._open: list[tuple[_Job, Address]] = []

    def send(self, to: str, title: str, body: str, heard: Heard, *, everybody: bool = False) -> int:
        """Send a message to everybody who takes what these readers get; returns at once, with how many those are."""
        chosen = [address for address in self.addresses if everybody or address.takes(to)]
        for address in chosen:
            self._put(_Job(title, body, heard), address)
        return len(chosen)

    def send_one_of(self, ways: Sequence[Address], title: str, body: str, heard: Heard) -> None:
        """Send a message to one person, by the first of these ways that works."""
        if ways:
            self._put(_Job(title, body, heard, tuple(ways[1:])), ways[0])

    def _put(self, job: _Job, address: Address) -> None:
        with self._changed:
            self._open.append((job, address))
            receiver = self._receivers.get(address.url)
            if receiver is None:
                receiver = self._receivers[address.url] = _Receiver(address, self)
                thread = threading.Thread(target=receiver.work, daemon=True, name=f"sevdrill {address.name}")
                self._threads.append(thread)
                thread.start()
        receiver.queue.put(job)

    def ended(self, job: _Job, address: Address, ok: bool, why: str) -> None:
        """Take up what became of a message."""
        with self._changed:
            if not any(each is job for each, _ in self._open):
                return  # it was given up, and that was told
        job.heard(address.name, ok, why)
        if not ok and job.others:
            self._put(_Job(job.title, job.body, job.heard, job.others[1:]), job.others[0])
        with self._changed:
            self._open = [(each, at) for each, at in self._open if each is not job]
            self._changed.notify_all()

    def settle(self, within: float = SETTLE) -> None:
        """Wait for receivers to take what is on its way, ``within`` seconds in all, and say what they did not take."""
        with self._changed:
            self._changed.wait_for(lambda: all(self._receivers[at.url].hung for _, at in self._open), within)
            late, self._open = self._open, []
        for job, address in late:
            self._receivers[address.url].hung = True
            job.heard(address.name, False, "no answer yet when the drill was over")

    def close(self) -> None:
        """End every sender, at once."""
        for receiver in self._receivers.values():
            receiver.queue.put(None)
            process = receiver.process
            if process is not None:
                process.kill()
        for thread in self._threads:
            thread.join(5)
        self._receivers.clear()
        self._threads.clear()
