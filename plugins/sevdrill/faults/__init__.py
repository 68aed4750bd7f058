"""Every kind of fault. A new one is a small class in one file of this folder and one line in the list."""

from __future__ import annotations

from sevdrill.faults.base import Fault, State
from sevdrill.faults.change import ChangeConfig, ChangeDeploy
from sevdrill.faults.container import ContainerKill, ContainerPause, ContainerStop
from sevdrill.faults.database import ConnectionsExhausted, DatabaseLock
from sevdrill.faults.migration import ChangeMigration
from sevdrill.faults.network import (
    NetworkBandwidth,
    NetworkDown,
    NetworkLatency,
    NetworkLimitData,
    NetworkReset,
    NetworkSlicer,
    NetworkSlowClose,
    NetworkTimeout,
)
from sevdrill.faults.partition import NetworkPartition
from sevdrill.faults.provider import ProviderRateLimit
from sevdrill.faults.resource import DiskFill

__all__ = ["FAULTS", "Fault", "State"]

FAULTS: tuple[type[Fault], ...] = (
    ContainerKill,
    ContainerStop,
    ContainerPause,
    NetworkLatency,
    NetworkBandwidth,
    NetworkTimeout,
    NetworkReset,
    NetworkSlicer,
    NetworkLimitData,
    NetworkSlowClose,
    NetworkDown,
    NetworkPartition,
    ProviderRateLimit,
    DiskFill,
    ChangeDeploy,
    ChangeConfig,
    ChangeMigration,
    DatabaseLock,
    ConnectionsExhausted,
)
