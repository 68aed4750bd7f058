"""Commands as child processes, and waiting for something to become so."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sevdrill.errors import EngineUnavailable, StackError

__all__ = ["POLL", "Finished", "run", "tail", "wait_until"]

POLL = 0.02
"""Seconds between two looks at a container that is to change its state."""


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


def wait_until(reached: Callable[[], bool], *, within: float, every: float = POLL) -> bool:
    """Ask again and again until it is so; False when it was not within so many seconds."""
    deadline = time.monotonic() + within
    while not reached():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


def tail(text: str, lines: int = 15) -> str:
    """The last lines of what a command printed, for messages."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines()[-lines:]) or "(it printed nothing)"


def run(
    command: Sequence[str], *, timeout: float, host: str = "", fds: Sequence[int] = (), finish: bool = False
) -> Finished:
    """Run the docker command, an argument list; ``timeout`` in seconds, ``host`` an engine's address.

    With ``finish`` a Ctrl-C is heard only when the command has ended.

    Raises:
        StackError: it did not end in time.
        EngineUnavailable: there is no such command.
    """
    # What Compose reads from the environment would change which files and project a command is about.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")}
    if host:
        environment = {key: value for key, value in environment.items() if key != "DOCKER_CONTEXT"} | {
            "DOCKER_HOST": host
        }
    # Into files, not pipes: when the runner is killed, a pipe would end the command halfway at its next word.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            # A session of its own: Ctrl-C in the terminal must not end a change halfway.
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=fds,
                env=environment,
            )
        except FileNotFoundError:
            raise EngineUnavailable(
                "there is no docker command on the PATH; install Docker with its Compose plugin (v2)"
            ) from None
        with child:
            try:
                try:
                    child.wait(timeout)
                except KeyboardInterrupt:
                    if finish:
                        child.wait(timeout)
                    raise
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                shown = " ".join(command[:6])
                raise StackError(f"`{shown} ...` did not end within {timeout:g} s and was killed") from None
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    return Finished(child.returncode, *texts)
