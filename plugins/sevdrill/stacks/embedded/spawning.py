"""How the supervisor starts processes: programs, and the holder of the volumes of a fixed size."""

from __future__ import annotations

import os
import signal
from typing import Any

from sevdrill.stacks.embedded import kernel

__all__ = ["hold", "said", "spawn"]


def said(error: BaseException) -> str:
    """What an error says to people: without the number that Python puts before what the kernel said."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def spawn(spec: dict[str, Any]) -> int:
    """Start a program; returns its process id once it is the program that runs.

    Raises:
        OSError: it could not be started.
    """
    parent = os.getpid()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(spec, parent, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        trouble = pipe.read()
    if trouble:
        os.waitpid(pid, 0)
        raise OSError(trouble.decode("utf-8", "replace"))
    return pid


def _become(spec: dict[str, Any], parent: int, writer: int) -> None:
    """In the new process: become the program. Never returns."""
    try:
        os.setsid()
        log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if spec.get("unprivileged"):
            kernel.drop_privileges([spec["env"]["HOME"] + "/volumes", spec["env"]["TMPDIR"]])
        os.chdir(spec["cwd"])
        kernel.die_with_parent(parent)
        os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - a program, no shell line
    except BaseException as error:
        os.write(writer, f"{spec['argv'][0]} cannot be started: {said(error)}".encode())
    finally:
        os._exit(127)


def hold(sizes: dict[str, int]) -> int:
    """Start the process that holds the volumes of a fixed size; returns its process id once they are there."""
    parent = os.getpid()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kernel.hold_volumes(sizes)
            kernel.die_with_parent(parent)
            os.write(writer, b"held")
            os.close(writer)
            while True:
                signal.pause()
        except BaseException as error:
            os.write(writer, said(error).encode())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read().decode("utf-8", "replace")
    if told != "held":
        os.waitpid(pid, 0)
        raise OSError(told or "the process that should hold the volumes ended")
    return pid
