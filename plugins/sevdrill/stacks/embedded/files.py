"""Files of an embedded stack's services: they are on this machine, so Python looks at them itself."""

from __future__ import annotations

import errno
import fnmatch
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sevdrill.errors import StackError
from sevdrill.resources import FoundFile, Space
from sevdrill.stacks.embedded.control import Control
from sevdrill.stacks.embedded.launch import Places

__all__ = ["EmbeddedFiles"]

T = TypeVar("T")
PART = 1 << 16


class EmbeddedFiles:
    """Looks at, fills and clears the volumes of services; paths are those that the service sees in a container."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def space(self, service: str, folder: str) -> Space:
        """Room on the file system that a folder of the service is on.

        Raises:
            StackError: there is no such folder.
        """
        found = self._try(service, folder, os.statvfs)
        return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def find(self, service: str, folder: str, name: str = "*") -> list[FoundFile]:
        """Files in a folder and below whose name matches a shell pattern.

        Raises:
            StackError: there is no such folder.
        """
        found: list[FoundFile] = []
        now = time.time()

        def look(top: str) -> None:
            os.stat(top)  # noqa: PTH116 - a folder that is not there is an error, to os.walk it is not
            for place, _, files in os.walk(top):
                for file in fnmatch.filter(files, name):
                    path = os.path.join(place, file)  # noqa: PTH118 - plain text, many of them
                    try:
                        stat = os.lstat(path)
                    except FileNotFoundError:
                        continue  # temporary files come and go
                    found.append(FoundFile(folder + path[len(top) :], stat.st_size, now - stat.st_mtime))

        self._try(service, folder, look)
        return found

    def fill(self, service: str, file: str, size: int, age: float) -> None:
        """Write a file of ``size`` bytes, or of as many as there is room for, last changed ``age`` seconds ago.

        Raises:
            StackError: it could not be written at all.
        """

        def write(path: str) -> None:
            with Path(path).open("wb", buffering=0) as stream:
                left = size
                while left > 0:
                    try:
                        left -= stream.write(bytes(min(left, PART))) or 0
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        break
            changed = time.time() - age
            os.utime(path, (changed, changed))

        self._try(service, file, write)

    def remove(self, service: str, files: Sequence[str]) -> None:
        """Remove files; one that is not there is no error.

        Raises:
            StackError: one could not be removed.
        """
        for file in files:
            self._try(service, file, lambda path: Path(path).unlink(missing_ok=True))

    def _try(self, service: str, path: str, act: Callable[[str], T]) -> T:
        site = self._control.site
        known = site.service(service)
        there = Places(site, self._control.holder).path(known, path)
        if there == path:
            seen = ", ".join(known.volumes) or "none"
            raise StackError(
                f"{path} in {service} is on none of its volumes ({seen}); the embedded stack touches no other files"
            )
        try:
            return act(there)
        except OSError as error:
            raise StackError(f"{path} in {service}: {os.strerror(error.errno or 0)}") from None
