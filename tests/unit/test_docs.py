"""The pages for users say everything that there is to say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from sevdrill.stacks.settings import MonitoringSettings, Permission, StackSettings

DOCS = Path(__file__).parents[2] / "docs"
KEYS = [*StackSettings.model_fields, *MonitoringSettings.model_fields, *get_args(Permission)]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_a_stack_is_explained(key: str) -> None:
    page = (DOCS / "your-own-stack.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{key}(: \w+)?` \| ", page, re.MULTILINE)
