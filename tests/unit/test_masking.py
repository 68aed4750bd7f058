"""What is a secret, what is masked, and what is left alone so that reports can be read."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secrets_planted import KNOWN, LEAK, PEM, PLANTED, compose

from sevdrill import masking
from sevdrill.clock import SystemClock
from sevdrill.errors import StackError
from sevdrill.lines import Note
from sevdrill.load import LoadGenerator
from sevdrill.masking import MASK, Masker, is_secret_key
from sevdrill.timeline import TimelineWriter


@pytest.fixture
def masker(tmp_path: Path) -> Masker:
    (tmp_path / "secret.txt").write_text(KNOWN["secret file"] + "\n", encoding="utf-8")
    found = Masker({"DEPLOY_TOKEN": KNOWN["own environment"], "SLACK_WEBHOOK": KNOWN["webhook"]})
    found.learn_compose(compose(str(tmp_path)), {"PLAIN_NAME": KNOWN["secret variable"]})
    return found


def test_every_planted_secret_is_masked_and_twice_is_as_once(masker: Masker) -> None:
    assert len(PLANTED) >= 20
    shown = masker.text(f"{LEAK}\n{PEM}\n")
    assert [secret for secret in PLANTED if secret in shown] == []
    assert masker.text(shown) == shown
    assert masker.raw(f"\udcff {LEAK}".encode("utf-8", "surrogateescape")).startswith(b"\xff ")


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        *(
            (key, True)
            for key in ("DB_PASSWORD", "pgpassword", "MYSQL_ROOT_PASSWORD", "client_secret", "apiKey", "X-Api-Key")
        ),
        *(
            (key, True)
            for key in ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASS", "SENTRY_DSN", "SLACK_WEBHOOK", "AUTH")
        ),
        *(
            (key, False)
            for key in ("PWD", "OLDPWD", "DB_PASSWORD_FILE", "AWS_ACCESS_KEY_ID", "PUBLIC_KEY", "TOKEN_TTL")
        ),
        *(
            (key, False)
            for key in ("POSTGRES_USER", "PATH", "AUTHOR", "COMPASS", "POSTGRES_HOST_AUTH_METHOD", "SSH_AUTH_SOCK")
        ),
    ],
)
def test_which_keys_keep_secrets(key: str, secret: bool) -> None:
    assert is_secret_key(key) is secret


@pytest.mark.parametrize(
    "value",
    ["", "1", "true", "shop", "staging", "secret", "Password", "postgres", "3600", "86400", "127.0.0.1", "orders"],
)
def test_short_and_common_values_do_not_blank_out_other_text(value: str) -> None:
    masker = Masker({"SECRET": value, "API_KEY": value})
    text = (
        f"the {value} database of shop runs in staging; true, 1 of 3600 orders failed with a secret postgres password"
    )
    assert masker.text(text) == text
    # Its place gives it away all the same.
    if value:
        assert masker.text(f"postgresql://shop:{value}@db/x") == f"postgresql://{MASK}@db/x"
        assert masker.text(f"GET /x?token={value}") == f"GET /x?token={MASK}"
        assert (
            masker.text(f'DB_PASSWORD={value} {{"password": "{value}"}}')
            == f'DB_PASSWORD={MASK} {{"password": "{MASK}"}}'
        )


def test_what_a_drill_sets_under_a_secret_key_is_masked() -> None:
    masker = Masker({})
    masker.learn_data(
        {"inject": [{"fault": "change.config", "set": {"API_TOKEN": "pl4nted-by-the-drill"}, "key": "app"}]}
    )
    assert masker.text("app refuses pl4nted-by-the-drill") == f"app refuses {MASK}"


def test_names_that_a_stack_uses_openly_are_no_secrets() -> None:
    masker = Masker({})
    environment = {"POSTGRES_USER": "shop-admin", "POSTGRES_PASSWORD": "shop-admin", "CACHE_KEY": "orders-cache"}
    masker.learn_compose({"services": {"orders-cache": {"image": "redis", "environment": environment}}})
    assert masker.text("orders-cache refuses shop-admin") == "orders-cache refuses shop-admin"
    # But what has a digit is more than a name.
    masker.learn_compose({"services": {"db": {"environment": {"USER": "adm1n-x7", "PASSWORD": "adm1n-x7"}}}})
    assert masker.text("adm1n-x7") == MASK


@pytest.mark.parametrize(
    "text",
    [
        "detect: the limit is 30s (the drill), measured 35.01 s (±0.10 s)",
        "token: expected text, not a number",
        'unknown key "password", did you mean "passwords"?',
        "x-sevdrill.admin.token: unknown key",
        "alert TokenExpired: 5 of 7",
        "http://app:3000/health answered 503: {'database': 'refused'}",
        "Basic checks hold; the bearer of bad news",
        "key switched to backup; monkey: 5; keyboard=us",
        "drills/x.yml:12:5: unknown key",
        "the cookie jar is empty",
        "postgresql://db:5432/shop?sslmode=disable&page=2",
        "0 of 95 requests failed, p95 12 ms",
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert Masker({}).text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:hunter2@cache:6379/0", f"redis://{MASK}@cache:6379/0"),
        ("https://ghp@github.com/x", f"https://{MASK}@github.com/x"),
        ("?a=1&api_key=abc&b=2", f"?a=1&api_key={MASK}&b=2"),
        ("?X-Amz-Signature=abc123#top", f"?X-Amz-Signature={MASK}#top"),
        ("authorization: Bearer abc.def", f"authorization: {MASK}"),
        ("sent 'Authorization': 'Basic dXNlcjpwYXNz'", f"sent 'Authorization': '{MASK}'"),
        ("curl -H Bearer abcdef123456", f"curl -H Bearer {MASK}"),
        ("Cookie: a=b; c=d\nnext", f"Cookie: {MASK}\nnext"),
        ("password = hunter2", f"password = {MASK}"),
        ("password: hunter2", f"password: {MASK}"),
        ("PGPASSWORD='correct horse' psql", f"PGPASSWORD='{MASK}' psql"),
        (r"{\"client_secret\": \"abc\"}", rf"{{\"client_secret\": \"{MASK}\"}}"),
        ("key AKIAIOSFODNN7EXAMPLE here", f"key {MASK} here"),
        (f"a ghp_{'a1' * 18} b", f"a {MASK} b"),
        (f"x\n{PEM}\ny", f"x\n{MASK}\ny"),
        # One that was cut.
        ("x\n" + PEM[: len(PEM) // 2], f"x\n{MASK}"),
        (PEM[len(PEM) // 2 :] + "\nafter", f"{MASK}\nafter"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, shown: str) -> None:
    assert Masker({}).text(text) == shown


@given(value=st.text(min_size=12, max_size=40).filter(lambda v: not v.isalpha() and not set(v) & set(" ,;\n\r\t$")))
@settings(deadline=None)
def test_any_long_value_is_masked_however_it_is_written(value: str) -> None:
    masker = Masker({"SOME_SECRET": value})
    if masker.text(value.strip()) == value.strip():
        return  # a number, or what is no value: nothing to hide
    for text in (value, f"a {value} b", json.dumps({"a": value}), json.dumps([value], ensure_ascii=False)):
        assert value not in masker.text(text)
        assert json.dumps(value)[1:-1] not in masker.text(text)


@pytest.mark.parametrize(
    "piece",
    ["a", "eyJ", "-eyJ.", "://", "password", "=:", "-----BEGIN PRIVATE KEY-----", "?token", "Bearer ", "\n", "cookie:"],
)
def test_a_long_log_takes_no_long_time(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    began = time.process_time()
    Masker({"A_SECRET": "never-there-1"}).text(text)
    # Time of the processor; it takes some hundredths of a second, and minutes where a pattern goes wrong.
    assert time.process_time() - began < 10


def test_errors_and_timelines_are_masked_where_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Masker({"A_TOKEN": "pl4nted-here"})
    monkeypatch.setattr(masking, "MASKER", known)
    monkeypatch.setattr("sevdrill.timeline.MASKER", known)
    assert str(StackError("no pl4nted-here \x1b[31m")) == f"no {MASK}  [31m"
    writer = TimelineWriter(tmp_path / "timeline.jsonl", SystemClock())
    writer.write(Note(text="see pl4nted-here \udcff \u202e \x9b"))
    writer.close()
    raw = (tmp_path / "timeline.jsonl").read_bytes()
    assert b"pl4nted" not in raw
    assert raw.decode().strip().isprintable()
    assert writer.lines[0].text == f"see {MASK} \udcff \u202e \x9b"  # type: ignore[union-attr]


def test_what_the_load_generator_prints_is_masked_and_never_lies_there_unmasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sevdrill.load.MASKER", Masker({"A_TOKEN": "pl4nted-here"}))
    fake = tmp_path / "python"
    fake.write_text(
        "#!/bin/sh\necho said pl4nted-here\necho '[1, 1, true]' > $SEVDRILL_LOAD_DIR/requests.jsonl\nsleep 60\n"
    )
    fake.chmod(0o700)
    monkeypatch.setattr("sevdrill.load.sys.executable", str(fake))
    folder = tmp_path / "load"
    load = LoadGenerator(tmp_path, lambda: "http://x", folder, SystemClock(), users=1, spawn_rate=1, limit=30)
    try:
        load.start()
        assert [path.name for path in folder.iterdir()] == ["requests.jsonl"]
    finally:
        load.stop()
    assert (folder / "locust.log").read_text(encoding="utf-8") == f"said {MASK}\n"
