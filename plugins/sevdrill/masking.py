"""Keeps secrets out of everything that a run writes or says.

Two things are masked: values that are known to be secret, wherever they stand (what the stack's Compose files and
sevdrill's own environment keep under a key such as ``DB_PASSWORD``, and Compose ``secrets:``), and what looks like a
secret by its place or shape (URL credentials, ``token=...``, authorization headers, private keys).

A value that is short or a common word is masked only by its place: a database whose password is ``staging`` must not
take that word out of every report.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

__all__ = ["MASK", "MASKER", "Masker", "is_secret_key", "masked"]

MASK = "MASKED"
"""What stands where a secret was: letters only, so that it fits wherever a name may stand."""
SHORTEST = 6
"""Characters that a value must have to be masked wherever it stands."""
SHORTEST_WORD = 10
"""The same, where it has nothing but letters."""
MOST_BYTES = 65_536
"""Bytes of a Compose secret's file that are looked at."""

_I = re.IGNORECASE
_SECRET = re.compile(
    r"passw|passphrase|secret|token|key|credential|webhook|(?:^|[_.-])(?:pass|pwd|auth|dsn|salt|cookie)(?:[_.-]|$)",
    _I,
)
_NOT_SECRET = re.compile(
    r"^(?:old)?pwd$|public|(?:^|[_.-])(?:file|path|dir|sock|name|id|ttl|type|header|prefix|mode|method|algorithm"
    r"|enabled|timeout|host|port|user)$",
    _I,
)
_VARIABLE = re.compile(r"\$\{[^}]*\}|\$\w+")
_NUMBER = re.compile(r"[\d.,:]{1,9}")
_WORD = re.compile(r"[A-Za-z]+(?:[-_. ][A-Za-z]+)*")
_COMMON = frozenset(
    {"password", "postgres", "postgresql", "production", "development", "sevdrill", "localhost", "staging"}
)
_IN_URL = re.compile(r"(?<=://)[^\s/?#\"'<>@:]{0,200}:([^\s\"'<>]{1,300}?)@")
_ARGUMENT = re.compile(r"^--?([\w-]{1,60})(?:=(.*))?$", re.DOTALL)

_NAMES = r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
# Each with the words of which one must be in the text, in small letters, so that long logs are not searched in vain.
_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (
        ("private key-----",),
        re.compile(
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
            r"(?:(?:(?!-----BEGIN)[\s\S]){0,8000}?-----END [A-Z ]{0,30}PRIVATE KEY-----|[^-]{0,8000})"
        ),
        MASK,
    ),
    # One whose beginning was cut off.
    (
        ("private key-----",),
        re.compile(r"(?:(?<=\n)|^)(?:[^\n-]{0,200}\n){0,200}?[^\n]{0,100}-----END [A-Z ]{0,30}PRIVATE KEY-----"),
        MASK,
    ),
    (("://",), re.compile(r"(?<=://)[^\s/?#\"'<>]{1,512}@"), f"{MASK}@"),
    (
        ("?", "&"),
        re.compile(
            r"([?&][\w.-]{0,40}(?:token|secret|passw(?:or)?d|pwd|key|auth|sig|signature|credential)[\w.-]{0,40}=)"
            r"[^\s&#\"'<>]+",
            _I,
        ),
        rf"\1{MASK}",
    ),
    (
        ("authorization",),
        re.compile(
            r"(authorization\\?[\"']?[ \t]*[:=][ \t]*\\?[\"']?)(?:(?!MASKED\b)[A-Za-z]+[ \t]+)?[^\s\"'\\,;]+", _I
        ),
        rf"\1{MASK}",
    ),
    (("cookie",), re.compile(r"(cookie\\?[\"']?[ \t]*:[ \t]*\\?[\"']?)[^\"'\\\r\n]+", _I), rf"\1{MASK}"),
    (
        ("bearer ", "basic "),
        re.compile(r"\b(bearer|basic)[ \t]+(?=[^\s\"']{0,400}[\d=.+/])[\w.~+/=-]{8,}", _I),
        rf"\1 {MASK}",
    ),
    (
        ("passw", "passphrase", "secret", "token", "key", "credential"),
        # After a colon a word of letters alone is more likely prose ("token: expected text").
        re.compile(
            rf"({_NAMES}(?:s|[_.-][\w.-]{{0,40}})?\\?[\"']?[ \t]{{0,3}}"
            r"(?:=[ \t]{0,3}\\?[\"']?|:[ \t]{0,3}\\?[\"']|:[ \t]{0,3}(?=[A-Za-z]{0,200}[^A-Za-z\s,;.])))"
            r"(?!MASKED)(?:(?<=[\"'])[^\"'\\\n]{1,400}|[^\s\"'\\,;}\])]{1,400})",
            _I,
        ),
        rf"\1{MASK}",
    ),
    (("akia", "asia"), re.compile(r"(?<![A-Z0-9])A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Z0-9])"), MASK),
    (("eyj",), re.compile(r"(?<![\w-])eyJ[\w-]{8,4000}\.[\w-]{8,8000}\.[\w-]{0,2000}"), MASK),
    (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "aiza", "sk_", "rk_", "npm_", "pypi-"),
        re.compile(
            r"(?<![\w-])(?:gh[opsur]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{20,64}|xox[abeoprs]-[\w-]{10,250}"
            r"|AIza[\w-]{35}|[sr]k_(?:live|test)_\w{16,128}|npm_\w{36}|pypi-[\w-]{50,300})"
        ),
        MASK,
    ),
)


def is_secret_key(key: str) -> bool:
    """Whether what stands under this key of an environment or a file is probably a secret."""
    return _SECRET.search(key) is not None and _NOT_SECRET.search(key) is None


class Masker:
    """What is known to be secret, and the masking of it. Used from any thread."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._lock = threading.Lock()
        self._secret: set[str] = set()
        self._public: set[str] = set()
        self._values: tuple[str, ...] = ()
        for key, value in (environment or {}).items():
            self.learn(_of_entry(key, value))

    def learn(self, values: Iterable[str], public: Iterable[str] = ()) -> None:
        """Mask these values from now on, except those that are too short, too common, or in ``public``."""
        with self._lock:
            self._secret |= {each for value in values for each in _parts(value) if _is_telling(each)}
            self._public |= set(public)
            forms = {form for value in self._secret - self._public for form in _forms(value)}
            self._values = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def learn_compose(self, model: Any, environment: Mapping[str, str] | None = None) -> None:
        """Learn what a Compose model keeps secret: environments, arguments, URLs, and the files of ``secrets:``."""
        if not isinstance(model, Mapping):
            return
        public = set(_names(model))
        for name, service in _items(model.get("services")):
            public |= {name, *(str(service[key]) for key in ("image", "container_name", "hostname") if key in service)}
            public |= {
                value for key, value in _entries(service.get("environment")) if not is_secret_key(key) and _word(value)
            }
        kept = [
            *_of_tree(model),
            *_of_secrets(model.get("secrets"), os.environ if environment is None else environment),
        ]
        self.learn(kept, public)

    def learn_data(self, data: Any) -> None:
        """Learn what stands under secret keys in other data, such as the settings of a drill."""
        self.learn(_of_tree(data))

    def text(self, text: str) -> str:
        """The text without its secrets."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        small = text.lower()
        for hints, shape, instead in _SHAPES:
            if any(hint in small for hint in hints):
                text = shape.sub(instead, text)
        return text

    def data(self, data: Any) -> Any:
        """JSON without secrets in its texts; keys stay as they are."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, list | tuple):
            return [self.data(each) for each in data]
        if isinstance(data, dict):
            return {key: self._under(str(key), value) for key, value in data.items()}
        return data

    def raw(self, raw: bytes) -> bytes:
        """Bytes that are mostly text, such as a log, without their secrets."""
        return self.text(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _under(self, key: str, value: Any) -> Any:
        return MASK if isinstance(value, str) and value and key.lower() in _ALWAYS else self.data(value)


_ALWAYS = frozenset({"password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "cookie"})
"""Keys of labels and records whose text is masked whatever it is."""


def _parts(value: str) -> Iterator[str]:
    """A value, the items of one that is a list, and the lines of one that is a key file."""
    yield value.strip()
    if "$$" in value:
        # Compose keeps its own escape for "$" in what it prints.
        yield from _parts(value.replace("$$", "$"))
    if "\n" in value:
        yield from (line.strip() for line in value.splitlines())
    elif re.search(r"[,; ]", value):
        yield from re.split(r"[,; ]+", value)


def _is_telling(value: str) -> bool:
    """Whether a value is so long and so unusual that it can be masked wherever it stands."""
    if len(value) < SHORTEST or value.casefold() in _COMMON or value == MASK or _NUMBER.fullmatch(value):
        return False
    if _VARIABLE.fullmatch(value):
        return False  # Compose puts the value in; what it prints has it
    return not value.isalpha() or len(value) >= SHORTEST_WORD


def _forms(value: str) -> Iterator[str]:
    """A value as it may be written: as it is, in JSON, in a URL, in Base64."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="", errors="replace")
    yield quote_plus(value, errors="replace")
    yield base64.b64encode(value.encode("utf-8", "replace")).decode().rstrip("=")


def _word(value: str) -> bool:
    return _WORD.fullmatch(value) is not None


def _of_entry(key: str, value: str) -> Iterator[str]:
    if is_secret_key(key):
        yield value
    yield from _of_text(value)


def _of_text(text: str) -> Iterator[str]:
    """Passwords of the URLs in a text."""
    if "://" in text:
        for password in _IN_URL.findall(text):
            yield from (password, unquote(password))


def _of_tree(node: Any) -> Iterator[str]:
    """Everything secret in a Compose model, which may be as deep as its reader allows."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                yield from _of_entry(str(key), str(value))
            else:
                yield from _of_tree(value)
    elif isinstance(node, list):
        wanted = False
        for each in node:
            if not isinstance(each, str):
                yield from _of_tree(each)
                continue
            key, equals, value = each.partition("=")
            argument = _ARGUMENT.match(each)
            if wanted and argument is None:
                yield each  # what follows `--password`
            wanted = argument is not None and argument[2] is None and is_secret_key(argument[1])
            yield from _of_entry(key.lstrip("-"), value) if equals else _of_text(each)
    elif isinstance(node, str):
        yield from _of_text(node)


def _of_secrets(secrets: Any, environment: Mapping[str, str]) -> Iterator[str]:
    for _, secret in _items(secrets):
        if isinstance(secret.get("content"), str):
            yield secret["content"]
        if isinstance(secret.get("environment"), str):
            yield environment.get(secret["environment"], "")
        if isinstance(secret.get("file"), str):
            try:
                file = Path(secret["file"])
                if file.is_file():
                    with file.open("rb") as stream:
                        yield stream.read(MOST_BYTES).decode("utf-8", "replace")
            except (OSError, ValueError):
                continue


def _names(model: Mapping[str, Any]) -> Iterator[str]:
    for part in ("services", "networks", "volumes", "configs", "secrets"):
        if isinstance(model.get(part), Mapping):
            yield from (str(name) for name in model[part])


def _items(part: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(part, Mapping):
        yield from ((str(name), each) for name, each in part.items() if isinstance(each, Mapping))


def _entries(environment: Any) -> Iterator[tuple[str, str]]:
    if isinstance(environment, Mapping):
        yield from ((str(key), str(value)) for key, value in environment.items())
    elif isinstance(environment, list):
        for each in environment:
            key, _, value = str(each).partition("=")
            yield key, value


MASKER = Masker(os.environ)
"""What this process knows."""


def masked(text: str) -> str:
    """The text without the secrets that this process knows, or that look like one."""
    return MASKER.text(text)
