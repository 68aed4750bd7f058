"""Who is who on the team: a small YAML file that says how the people of an SOP's escalation path are reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from sevdrill.errors import UsageError
from sevdrill.model import Model
from sevdrill.modelfile import read_model
from sevdrill.wording import report

__all__ = ["Contacts", "Person", "load_contacts"]


class Person(Model):
    """One person, team or vendor, and how they are reached: pager, then phone, then mail (playbook, "Contact Methods").

    A way that is an Apprise URL is used to send; any other is only shown, for people to use.
    """

    name: str = ""
    """Who it is."""
    is_: tuple[str, ...] = Field(default=(), alias="is")
    """What SOPs call them, such as `Engineering Manager`."""
    pager: str = ""
    """How to page them."""
    phone: str = ""
    """Their phone."""
    mail: str = ""
    """Their mail address."""

    @property
    def ways(self) -> dict[str, str]:
        """The ways to reach them that are given, first to last."""
        return {way: given for way in ("pager", "phone", "mail") if (given := getattr(self, way))}

    def shown(self) -> str:
        """How they are reached, for people; a URL is a secret, so only that there is one is said."""
        ways = ", then ".join(way if "://" in given else f"{way} {given}" for way, given in self.ways.items())
        return ": ".join(filter(None, (self.name, ways)))


class Contacts(Model):
    """The people of a team."""

    primary: Person | None = None
    """On call: the first responder."""
    secondary: Person | None = None
    """On call when the first does not answer."""
    manager: Person | None = None
    """Whom managers' levels of the path mean."""
    security: Person | None = None
    """The security team."""
    legal: Person | None = None
    """The legal team."""
    vendors: dict[str, Person] = Field(default={})
    """Vendors, by name."""
    others: dict[str, Person] = Field(default={})
    """Anybody else of the path, by what the SOP calls them."""

    def everybody(self) -> Iterator[tuple[str, Person]]:
        """Everybody, each with the word that the file has for them."""
        for word in ("primary", "secondary", "manager", "security", "legal"):
            person = getattr(self, word)
            if person is not None:
                yield word, person
        yield from self.others.items()
        yield from self.vendors.items()

    def find(self, level: str, place: int = 0) -> list[Person]:
        """Whom a level of an escalation path means; ``place`` 1 is the first responder. Vendors are all of them."""
        wanted = level.casefold()
        named = [person for _, person in self.everybody() if wanted in {each.casefold() for each in person.is_}]
        if named:
            return named
        if wanted == "vendor":
            return list(self.vendors.values())
        found = [person for word, person in self.everybody() if word.casefold() in wanted]
        return found[:1] or ([self.primary] if place == 1 and self.primary is not None else [])


def load_contacts(path: Path) -> Contacts:
    """Read a file of contacts.

    Raises:
        UsageError: it cannot be read or has mistakes; the message has every one, with its place.
    """
    try:
        source, problems, contacts = read_model(path, Contacts, "contacts")
    except OSError as error:
        raise UsageError(f"{path}: the contacts cannot be read: {error.strerror or error}; check the path") from None
    if contacts is None:
        raise UsageError(report(str(path), source, problems))
    return contacts
