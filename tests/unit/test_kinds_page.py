"""docs/kinds.md: made from the code, and whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from sevdrill.cli import main
from sevdrill.kinds import Kinds
from sevdrill.reports.catalogue import catalogue, markdown

PAGE = Path(__file__).parents[2] / "docs" / "kinds.md"


def test_the_page_is_current(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # From a folder without a conftest.py: the page holds the kinds that sevdrill comes with.
    monkeypatch.chdir(tmp_path)
    assert main(["kinds", "--markdown"]) == 0
    assert PAGE.read_text(encoding="utf-8") == capsys.readouterr().out, "docs/kinds.md is old; `make schema` writes it"


def test_every_kind_has_its_capability_settings_and_undo() -> None:
    found = catalogue(Kinds.default())
    page = "\n".join(markdown(found))
    for entry in found:
        assert page.count(f"\n### `{entry['kind']}`\n") == 1 + sum(
            other["kind"] == entry["kind"] and other["family"] != entry["family"] for other in found
        )
        section = page.partition(f"\n### `{entry['kind']}`\n")[2].partition("\n## ")[0].partition("\n### ")[0]
        assert entry["about"], f"{entry['kind']} has no docstring"
        if entry["family"] == "fault":
            assert "* undo: " in section
    faults = page.partition("\n## Faults\n")[2].partition("\n## ")[0]
    assert "| `after` |" in faults.partition("### ")[0]
    assert "| `after` |" not in faults.partition("### ")[2]


def test_a_bar_in_a_setting_does_not_break_its_table() -> None:
    rows = [line for line in markdown(catalogue(Kinds.default())) if line.startswith("| `")]
    assert rows
    for row in rows:
        assert row.replace("\\|", "").count("|") == 5
