"""What carries the label goes, also while the engine is still busy with it; what is somebody else's stays untouched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from sevdrill.stacks.removing import remove_labelled


def refusal(status: int, why: str) -> docker.errors.APIError:
    return docker.errors.APIError(
        why, response=SimpleNamespace(status_code=status, reason=why, url="http://engine"), explanation=why
    )


class Books:
    """An engine with one network, as far as removing asks it."""

    def __init__(self, members: dict[str, str], status: int = 403) -> None:
        self.members, self.status = members, status
        self.network = True

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return []

    def volumes(self, **_: Any) -> dict[str, Any]:
        return {"Volumes": None}

    def networks(self, **_: Any) -> list[dict[str, str]]:
        return [{"Id": "n"}] if self.network else []

    def inspect_network(self, _: str) -> dict[str, Any]:
        return {"Containers": {key: {"Name": name} for key, name in self.members.items()}}

    def disconnect_container_from_network(self, name: str, _: str, *, force: bool) -> None:
        assert force
        self.members = {key: its for key, its in self.members.items() if its != name}

    def remove_network(self, _: str) -> None:
        if self.members:
            raise refusal(self.status, "has active endpoints")
        self.network = False


def removed(books: Books) -> list[str]:
    return remove_labelled(books, ["a=b"])  # type: ignore[arg-type]


def test_an_endpoint_without_a_container_is_cut_off() -> None:
    books = Books({"ep-12": "gone"})
    assert removed(books) == []
    assert not books.network


def test_somebody_elses_container_is_waited_for_and_not_touched() -> None:
    books = Books({"f00": "foreign", "ep-12": "gone"})
    assert removed(books) == ["has active endpoints"]
    assert books.members == {"f00": "foreign"}
    books.members.clear()
    assert removed(books) == []
    assert not books.network


def test_an_engine_that_fails_is_not_waited_for() -> None:
    with pytest.raises(docker.errors.APIError, match="endpoints"):
        removed(Books({"f00": "x"}, status=500))
