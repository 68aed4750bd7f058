"""Removing what carries a label from the engine, whatever state a killed change left it in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import APIClient

__all__ = ["remove_labelled"]


def remove_labelled(api: APIClient, labels: Sequence[str]) -> list[str]:
    """Remove the containers, networks and volumes that carry all these labels, as far as that goes now.

    Returns:
        What stood in the way of the rest, in the engine's words; empty when nothing is left.

    Raises:
        APIError: the engine refused for a reason that waiting does not cure.
    """
    import docker.errors

    held: list[str] = []
    chosen = {"label": list(labels)}

    def attempt(remove: Callable[[], object]) -> None:
        try:
            remove()
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            # 403 and 409: somebody still has it, such as a container that the engine is just starting or ending.
            if error.status_code not in (403, 409):
                raise
            held.append(str(error.explanation or error))

    for container in api.containers(all=True, filters=chosen):
        attempt(partial(api.remove_container, container["Id"], v=True, force=True))
    for network in api.networks(filters=chosen):
        attempt(partial(_remove_network, api, network["Id"]))
    for volume in api.volumes(filters=chosen)["Volumes"] or ():
        attempt(partial(api.remove_volume, volume["Name"], force=True))
    return held


def _remove_network(api: APIClient, network: str) -> None:
    import docker.errors

    try:
        api.remove_network(network)
    except docker.errors.APIError as error:
        if error.status_code != 403:
            raise
        # In the engine's books an endpoint can outlive its container; the network goes only when it is cut off. A
        # container that exists is not: it may be somebody else's.
        members = api.inspect_network(network)["Containers"] or {}
        for name in [member["Name"] for key, member in members.items() if key.startswith("ep-")]:
            with contextlib.suppress(docker.errors.APIError):
                api.disconnect_container_from_network(name, network, force=True)
        api.remove_network(network)
