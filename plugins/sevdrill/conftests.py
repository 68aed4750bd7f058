"""The kinds that users add, for the command line: found by pytest's own way to conftest files and plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sevdrill.errors import UsageError
from sevdrill.kinds import Kinds

__all__ = ["user_kinds"]


class _Asker:
    """Asks for the kinds once pytest has read its ini file, plugins and conftest files, and collects nothing."""

    def __init__(self) -> None:
        self.found: list[object] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        given = config.hook.pytest_sevdrill_kinds()
        self.found = [kind for kinds in given for kind in kinds or ()]
        return 0


def user_kinds(conftests: Sequence[Path] = ()) -> Kinds:
    """sevdrill's kinds and those of the conftest files: the named ones, or else those of here and of ``drills``.

    Raises:
        UsageError: there is no such file, it cannot be loaded, or what it gives is no kind.
    """
    for file in conftests:
        if not file.is_file():
            raise UsageError(f"{file}: no such file; --conftest names a conftest.py with pytest_sevdrill_kinds")
    folders = [str(file.parent) for file in conftests] or [name for name in (".", "drills") if Path(name).is_dir()]
    asker = _Asker()
    options = ["--assert=plain", "--capture=no"]
    for plugin in ("cacheprovider", "terminal", "locust", "xdist"):
        options += ["-p", f"no:{plugin}"]
    try:
        code = pytest.main([*options, "-o", "addopts=", *folders], plugins=[asker])
    except Exception as error:  # what a conftest file does wrong is its author's to mend
        raise UsageError(f"the conftest files of {', '.join(folders)} cannot be loaded: {error}") from None
    if code != 0:
        raise UsageError(f"the conftest files of {', '.join(folders)} cannot be loaded; `pytest` there says why")
    return Kinds.default().with_(asker.found)
