"""Every kind of fault. A new one is a small class in one file of this folder and one line in the list."""

from __future__ import annotations

from sevdrill.faults.base import Fault, State
from sevdrill.faults.change import ChangeConfig, ChangeDeploy, ChangeSetting
from sevdrill.faults.container import ContainerCrashLoop, ContainerKill, ContainerPause, ContainerStop
from sevdrill.faults.database import ConnectionsExhausted, DatabaseCorruptRows, DatabaseLock
from sevdrill.faults.limits import CpuLimit, MemoryLimit
from sevdrill.faults.load import LoadSpike
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
from sevdrill.faults.provider import (
    ProviderFlap,
    ProviderLoseAnswers,
    ProviderMalformedBody,
    ProviderRateLimit,
    ProviderRefuseKey,
    ProviderRespondWithStatus,
    ProviderSlow,
)
from sevdrill.faults.queue import QueueFlood, QueueStuckJobs
from sevdrill.faults.resource import CpuHog, DiskFill, MemoryHog

__all__ = ["FAULTS", "Fault", "State"]

FAULTS: tuple[type[Fault], ...] = (
    ContainerKill,
    ContainerStop,
    ContainerPause,
    ContainerCrashLoop,
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
    ProviderRefuseKey,
    ProviderRespondWithStatus,
    ProviderSlow,
    ProviderLoseAnswers,
    ProviderMalformedBody,
    ProviderFlap,
    QueueFlood,
    QueueStuckJobs,
    DiskFill,
    CpuLimit,
    MemoryLimit,
    CpuHog,
    MemoryHog,
    ChangeDeploy,
    ChangeConfig,
    ChangeMigration,
    DatabaseLock,
    DatabaseCorruptRows,
    ChangeSetting,
    ConnectionsExhausted,
    LoadSpike,
)
