"""A service that is cut off from the others by the container engine, past any proxy."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import Membership, Networks, Ports

__all__ = ["NetworkPartition"]


class NetworkPartition(Fault):
    """A service runs and is well, but nobody reaches it: its replicas are off the network, and its names lead nowhere.

    What is undone is the cut, not the service: each replica comes back under every name it had.
    """

    needs: ClassVar[tuple[type, ...]] = (Networks,)

    fault: Literal["network.partition"]
    service: str
    """The service that is cut off."""
    replicas: int | None = Field(default=None, ge=1)
    """How many replicas to cut off; all of them when left out."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def takes(self) -> int | None:
        return self.replicas

    def prepare(self, ports: Ports) -> Record:
        present = ports[Networks].memberships(self.service)
        sound = [name for name, places in present.items() if places]
        wanted = len(present) if self.replicas is None else self.replicas
        if not sound or len(sound) < wanted:
            raise FaultError(
                f"{self.title}: {wanted or 'some'} replica(s) of {self.service} wanted, but {len(sound)} of "
                f"{len(present)} are on a network; the stack must be whole before it is broken"
            )
        return {
            "hit": {
                name: {
                    network: {"aliases": list(place.aliases), "address": place.address, "fixed": place.fixed}
                    for network, place in present[name].items()
                }
                for name in sound[:wanted]
            }
        }

    def inject(self, ports: Ports, record: Record) -> None:
        for replica, places in record["hit"].items():
            for network in places:
                ports[Networks].disconnect(self.service, replica, network)

    def undo(self, ports: Ports, record: Record) -> None:
        present = ports[Networks].memberships(self.service)
        for replica, places in record["hit"].items():
            if replica not in present:
                continue  # recreated meanwhile, which puts it on its networks
            for network, place in places.items():
                ports[Networks].connect(self.service, replica, network, Membership(**place))

    def state(self, ports: Ports, record: Record) -> State:
        present = ports[Networks].memberships(self.service)
        whole, cut = 0, 0
        for replica, places in record["hit"].items():
            if replica not in present:
                # Its successor counts in its place, if there is one on the same networks.
                successors = [p for name, p in present.items() if name not in record["hit"]]
                whole += any(set(places) <= set(p) for p in successors)
                continue
            now = present[replica]
            cut += not set(places) & set(now)
            # Back under another name is not back: who asks for the old one would not find it.
            whole += all(
                network in now and set(place["aliases"]) <= set(now[network].aliases)
                for network, place in places.items()
            )
        if whole == len(record["hit"]):
            return State.OFF
        return State.ON if cut == len(record["hit"]) else State.UNKNOWN
