"""Opening files that somebody else named: they may be anything."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_file", "read_lines"]


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read its bytes. A pipe would keep its reader waiting, and a device may have no end.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    file = open(descriptor, "rb")  # noqa: PTH123, SIM115 - from a descriptor; the caller closes it
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def read_lines(path: Path, most_bytes: int, longest: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, each with its number, from 1, and with its line feed.

    Raises:
        OSError: it cannot be opened, is no regular file, or the file or a line of it is larger than that.
    """
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > most_bytes:
            raise OSError(errno.EFBIG, f"it is larger than {most_bytes >> 20} MiB")
        for number in itertools.count(1):
            line = file.readline(longest + 1)
            if len(line) > longest:
                raise OSError(errno.EFBIG, f"line {number} is longer than {longest >> 20} MiB")
            if not line:
                return
            if line.strip():
                yield number, line
