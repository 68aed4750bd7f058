"""Every typing mistake in a drill is refused, and nearly always the right word is named."""

from __future__ import annotations

from pathlib import Path

from typos import Typo, typos

from sevdrill.diagnostics import load
from sevdrill.errors import DrillFileError
from sevdrill.stacks.files import service_names

ROOT = Path(__file__).parents[2]
DRILLS = sorted((ROOT / "drills").glob("*.yml"))
SERVICES = service_names([ROOT / "docker-compose.drill.yml"])


def told(typo: Typo, folder: Path) -> str:
    file = folder / "drills" / typo.file.name
    file.write_text(typo.text, encoding="utf-8")
    try:
        load(file, services=SERVICES, root=folder)
    except DrillFileError as error:
        return str(error)
    return ""


def test_typos_are_refused_where_they_are_and_the_right_word_is_named(tmp_path: Path) -> None:
    (tmp_path / "drills").mkdir()
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    made = list(typos(DRILLS, SERVICES, seed=20261121))
    assert len(made) >= 500
    assert {len(typo.wrong) - len(typo.right) for typo in made} == {-1, 0, 1}
    messages = {typo: told(typo, tmp_path) for typo in made}
    passed = [str(typo) for typo, text in messages.items() if not text]
    assert passed == []
    elsewhere = [str(t) for t, text in messages.items() if f"{t.file.name}:{t.line}:" not in text]
    assert elsewhere == []
    unnamed = [str(t) for t, text in messages.items() if f'did you mean "{t.right}"?' not in text]
    assert len(unnamed) <= len(made) * 0.05, unnamed
    # One mistake is told as one: what is around it is not blamed.
    more = [str(t) for t, text in messages.items() if text.count(f"{t.file.name}:") > 1]
    assert len(more) <= len(made) * 0.05, more
