"""Steps that mend the network."""

from __future__ import annotations

import socket
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.base import Action
from sevdrill.errors import ActionError
from sevdrill.model import Record
from sevdrill.ports import Endpoints, Networks, Ports, Reading

__all__ = ["RestoreNetwork"]


class RestoreNetwork(Action):
    """Put a service back on the networks that the stack's files give it, under all its names.

    By hand it is `docker network connect --alias NAME NETWORK CONTAINER` for each replica. Done when every replica is
    there under every name and accepts connections from there: a restart alone gives neither.
    """

    needs: ClassVar[tuple[type, ...]] = (Networks, Endpoints)

    action: Literal["restore-network"]
    service: str
    """The service to put back."""
    port: int = Field(ge=1, le=65535)
    """The service's own port; each replica must accept connections on it."""

    @property
    def title(self) -> str:
        return f"restore the network of {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        if not ports[Networks].declared(self.service):
            raise ActionError(f"{self.title}: the stack's files put {self.service} on no network of its own")
        return {}

    def run(self, ports: Ports, record: Record) -> None:
        declared = ports[Networks].declared(self.service)
        for replica in ports[Networks].memberships(self.service):
            for network, place in declared.items():
                ports[Networks].connect(self.service, replica, network, place)

    def proof(self, ports: Ports, record: Record) -> Reading:
        declared = ports[Networks].declared(self.service)
        present = ports[Networks].memberships(self.service)
        for replica, places in present.items():
            for network, place in declared.items():
                missing = set(place.aliases) - set(places[network].aliases) if network in places else None
                if missing is None:
                    return Reading(ok=False, why=f"{replica} is not on network {network}")
                if missing:
                    return Reading(ok=False, why=f"{replica} is on {network} without its name {min(missing)}")
        addresses = ports[Endpoints].direct(self.service, self.port)
        if not addresses or set(addresses) != set(present):
            return Reading(ok=False, why=f"{len(addresses)} of {len(present)} replicas of {self.service} run")
        for replica, address in addresses.items():
            try:
                socket.create_connection((address.host, address.port), timeout=1.0).close()
            except OSError as error:
                return Reading(ok=False, why=f"{replica} refuses connections on port {self.port}: {error}")
        return Reading(ok=True, why=f"{len(present)} of {len(present)} replicas are back and accept connections")
