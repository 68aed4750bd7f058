"""The pages for users say everything that there is to say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from sevdrill.stacks.settings import MonitoringSettings, Permission, StackSettings

DOCS = Path(__file__).parents[2] / "docs"
KEYS = [*StackSettings.model_fields, *MonitoringSettings.model_fields, *get_args(Permission)]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_a_stack_is_explained(key: str) -> None:
    page = (DOCS / "your-own-stack.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{key}(: \w+)?` \| ", page, re.MULTILINE)


def workflow() -> dict[str, Any]:
    """The example of docs/ci.md."""
    text = (DOCS / "ci.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    loaded: dict[str, Any] = yaml.safe_load(found)
    return loaded


def test_the_example_workflow_runs_weekly_and_on_commits_and_uploads_whatever_happened() -> None:
    example = workflow()
    on = example[True]  # YAML takes `on` for a yes
    assert on["push"]["branches"] == ["main"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", on["schedule"][0]["cron"])
    steps = example["jobs"]["drills"]["steps"]
    upload = next(step for step in steps if step.get("uses", "").startswith("actions/upload-artifact"))
    assert upload["if"] == "always()"
    assert upload["with"]["path"].split() == ["drill-runs/", "drills.xml"]
    runs = [step["run"] for step in steps if step.get("run", "").startswith("pytest")]
    assert [step["if"] for step in steps if step.get("run", "").startswith("pytest")] == [
        "github.event_name == 'push'",
        "github.event_name == 'schedule'",
    ]
    assert all("--junitxml=drills.xml" in run for run in runs)


def test_the_exit_codes_of_the_page_are_pytests_and_the_commands() -> None:
    text = (DOCS / "exit-codes.md").read_text(encoding="utf-8")
    first, second = (re.findall(r"^\| (\d) \| ", part, re.MULTILINE) for part in text.split("## `sevdrill`"))
    assert [int(code) for code in first] == sorted(int(code) for code in pytest.ExitCode if code <= 5)
    assert [int(code) for code in second] == [0, 1, 2]
