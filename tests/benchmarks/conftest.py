"""Benchmarks run when they are asked for (`make bench`, `-m benchmark` or their path); the cheap ones always."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = any(HERE in [path := Path(name.partition("::")[0]).absolute(), *path.parents] for name in config.args)
    if asked or "benchmark" in config.option.markexpr:
        return
    costly = [item for item in items if item.path.parent == HERE and not _is_cheap(item)]
    config.hook.pytest_deselected(items=costly)
    items[:] = [item for item in items if item not in costly]


def _is_cheap(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("benchmark")
    return mark is not None and bool(mark.kwargs.get("cheap"))
