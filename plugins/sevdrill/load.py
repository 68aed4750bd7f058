"""The load: Locust in a process of its own, and the ledger of what it wrote.

Locust patches the standard library when it is imported, so it never is imported here. The load generator appends one
line a request to a file, with ends on the machine's monotonic clock, and this module reads the file as it grows.

A locustfile uses `ledger` to note its writes:

    from sevdrill.load import ledger
    orders = ledger("orders")
    key = orders.new_key()
    orders.attempted(key)       # before the request is sent
    orders.acknowledged(key)    # after the system said yes
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from sevdrill.clock import Clock
from sevdrill.errors import StackError
from sevdrill.masking import MASKER
from sevdrill.ports import Ledger, LoadWindow

__all__ = ["LedgerWriter", "LoadGenerator", "ledger"]

FOLDER_VARIABLE = "SEVDRILL_LOAD_DIR"
CA_VARIABLE = "SEVDRILL_LOAD_CA"
"""A file with the certificate of the authority that the users trust."""
REQUESTS = "requests.jsonl"
FIRST_REQUEST_WITHIN = 60.0
DRAIN = 10.0
MOST_SAID = 1 << 20
"""Bytes of what Locust printed that are kept, the last ones."""


class LedgerWriter:
    """Notes, in the load generator, what was attempted and what was acknowledged."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._prefix = uuid.uuid4().hex[:10]
        self._count = 0

    def new_key(self) -> str:
        """A key that no other write has, in this run or another."""
        self._count += 1
        return f"{self._prefix}-{self._count:06d}"

    def attempted(self, key: str) -> None:
        """Note a write before it is sent."""
        self._note("attempted", key)

    def acknowledged(self, key: str) -> None:
        """Note that the system said it has kept the write."""
        self._note("acknowledged", key)

    def _note(self, what: str, key: str) -> None:
        if self._file is not None:
            self._file.write(json.dumps([what, key]) + "\n")
            self._file.flush()


def ledger(name: str) -> LedgerWriter:
    """The ledger ``name``; outside a drill, where nobody reads it, it notes nothing."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return LedgerWriter(None)
    return LedgerWriter((Path(folder) / f"ledger-{name}.jsonl").open("a", encoding="utf-8"))


@dataclass(frozen=True)
class _Request:
    end: float
    took: float
    ok: bool


class LoadGenerator:
    """Locust as a child process (implements the port `Load`).

    ``host`` is the base URL that users call, ``folder`` takes the load generator's files, ``limit`` bounds its life in
    seconds whatever happens, ``ca`` reads the certificate of the authority that users trust.
    """

    def __init__(
        self,
        locustfile: Path,
        host: Callable[[], str],
        folder: Path,
        clock: Clock,
        *,
        users: int,
        spawn_rate: float,
        limit: float,
        ca: Callable[[], str] | None = None,
    ) -> None:
        self._locustfile, self._host, self.folder, self._clock = locustfile, host, folder, clock
        self.users, self._spawn_rate, self._limit, self._ca = users, spawn_rate, limit, ca
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: deque[_Request] = deque()
        self._totals: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        self._read_to = 0
        self._lock = threading.Lock()
        self._stopped = False
        self._log: BinaryIO | None = None
        self._last_words = b""

    def start(self) -> None:
        """Start Locust and wait for the first request to end.

        Raises:
            StackError: Locust ended, or no request ended in time; the message has the last lines of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sevdrill.locusting", "-f", str(self._locustfile), "--headless"]
        command += ["--users", str(self.users), "--spawn-rate", str(self._spawn_rate), "--host", self._host()]
        command += ["--run-time", f"{max(1, round(self._limit))}s", "--stop-timeout", str(int(DRAIN))]
        command += ["--only-summary", "--loglevel", "WARNING"]
        environment = {**os.environ, FOLDER_VARIABLE: str(self.folder), **self._trust()}
        # A file without a name, so that what is not masked yet is gone when the run is killed.
        self._log = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by `stop`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )
        deadline = self._clock.now() + FIRST_REQUEST_WITHIN
        while not self._read():
            if self._process.poll() is not None:
                raise StackError(f"the load generator ended before it sent a request:\n{self._log_tail()}")
            if self._clock.now() > deadline:
                self.stop()
                raise StackError(
                    f"the load generator sent no request within {FIRST_REQUEST_WITHIN:g} s:\n{self._log_tail()}"
                )
            time.sleep(0.05)

    def _log_tail(self) -> str:
        text = self._said().decode("utf-8", "replace")
        return "\n".join(f"    {line}" for line in text.strip().splitlines()[-8:])

    def _said(self) -> bytes:
        if self._log is not None:
            size = os.fstat(self._log.fileno()).st_size
            self._last_words = os.pread(self._log.fileno(), MOST_SAID, max(0, size - MOST_SAID))
        return self._last_words

    def _read(self) -> deque[_Request]:
        path = self.folder / REQUESTS
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._read_to)
                data = file.read()
            whole = data.rfind(b"\n") + 1
            self._read_to += whole
            for line in data[:whole].splitlines():
                end, took, ok, *name = json.loads(line)
                self._requests.append(_Request(end, took, ok))
                self._totals[name[0] if name else ""][ok] += 1
        return self._requests

    def window(self, over: float) -> LoadWindow:
        """Requests that ended in the last ``over`` seconds.

        Raises:
            StackError: the load generator does not run, so nothing can be said about users.
        """
        if self._process is None or (self._process.poll() is not None and not self._stopped):
            raise StackError(f"the load generator is gone:\n{self._log_tail()}")
        with self._lock:
            since = self._clock.now() - over
            requests = self._read()
            while requests and requests[0].end < since - 60:
                requests.popleft()
            inside = [r for r in requests if r.end >= since]
        times = sorted(r.took for r in inside)
        p95 = times[min(len(times) - 1, int(len(times) * 0.95))] if times else None
        return LoadWindow(len(inside), sum(1 for r in inside if not r.ok), p95)

    def failures(self) -> dict[str, tuple[int, int]]:
        """Requests so far and how many failed, by the name that the locustfile gives them, or their path."""
        with self._lock:
            self._read()
            return {name: (total.total(), total[False]) for name, total in self._totals.items()}

    def ledger(self, name: str) -> Ledger:
        """What was noted so far; a torn last line, as a killed generator leaves it, is left out."""
        noted: dict[str, set[str]] = {"attempted": set(), "acknowledged": set()}
        path = self.folder / f"ledger-{name}.jsonl"
        if path.exists():
            for line in path.read_text(encoding="utf-8").split("\n"):
                try:
                    what, key = json.loads(line)
                except ValueError:
                    continue
                noted[what].add(key)
        return Ledger(frozenset(noted["attempted"]), frozenset(noted["acknowledged"]))

    def _trust(self) -> dict[str, str]:
        """The variable that tells the users' client whom to trust, where the drill says so."""
        if self._ca is None:
            return {}
        try:
            file = self.folder / "ca.pem"
            file.write_text(self._ca(), encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise StackError(f"the certificate that users trust (load.ca) cannot be read: {error}") from None
        return {CA_VARIABLE: str(file)}

    def stop(self) -> None:
        """Stop the users after the request at hand; whoever does not finish in time is ended."""
        self._stopped = True
        try:
            self._end()
        finally:
            if self._log is not None:
                with contextlib.suppress(OSError), self._log:
                    (self.folder / "locust.log").write_bytes(MASKER.raw(self._said()))
                self._log = None

    def _end(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DRAIN + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
