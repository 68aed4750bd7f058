"""The manifest of a run's evidence: a SHA-256 sum of every file, as `sha256sum --check` reads it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from sevdrill.errors import RunError

__all__ = ["MANIFEST", "verify", "write_manifest"]

MANIFEST = "MANIFEST.sha256"


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, files: Iterable[Path]) -> None:
    """Write the manifest of ``files``, which lie in ``folder``."""
    lines = [f"{_sum(file)}  {file.name}\n" for file in sorted(set(files))]
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


def verify(folder: Path) -> tuple[int, list[str]]:
    """How many files the manifest names, and what is not as it says.

    Raises:
        RunError: there is no manifest, or a line of it is none.
    """
    path = folder / MANIFEST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read ({error}); without it nothing says what the evidence was") from None
    problems, named = [], set()
    for number, line in enumerate(filter(None, lines), start=1):
        match = re.fullmatch(r"([0-9a-f]{64})  ([^/\0]+)", line)
        if match is None or match[2] in (".", ".."):
            raise RunError(f"{path}:{number}: expected a SHA-256 sum and the name of a file; the manifest was changed")
        named.add(match[2])
        file = folder / match[2]
        if not file.is_file():
            problems.append(f"{match[2]} is missing")
        elif _sum(file) != match[1]:
            problems.append(f"{match[2]} was changed")
    there = {file.name for file in folder.iterdir() if file.name != MANIFEST}
    problems += [f"{name} was added" for name in sorted(there - named)]
    return len(named), problems
