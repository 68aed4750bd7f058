"""Every kind of runbook step. A new one is a small class in one file of this folder and one line in the list."""

from __future__ import annotations

from sevdrill.actions.asking import Http, RetryStuck, Run, WaitFor
from sevdrill.actions.base import Action
from sevdrill.actions.config import ConfigSet
from sevdrill.actions.database import RefreshPool, TerminateQueries
from sevdrill.actions.disk import FreeDisk
from sevdrill.actions.edge import Block, RenewCertificate, RevokeSession, RouteAway
from sevdrill.actions.evidence import ArchiveLogs
from sevdrill.actions.failover import Failover, Fence
from sevdrill.actions.lifecycle import Restart, Start
from sevdrill.actions.migration import MigrateDown
from sevdrill.actions.network import RestoreNetwork
from sevdrill.actions.people import Announce, Declare, Escalate
from sevdrill.actions.release import ConfigRollback, Deploy, Rollback
from sevdrill.actions.restoring import CopyState, RestoreBackup, SwapRestored
from sevdrill.actions.reverting import RevertingAction
from sevdrill.actions.scale import Scale
from sevdrill.actions.secrets import RotateSecret
from sevdrill.actions.settings import Cache, CircuitBreak, Flag, Maintenance, PauseQueue, SwitchKey, Throttle
from sevdrill.actions.undoing import Heal, Repeat, Revert

__all__ = ["ACTIONS", "Action", "RevertingAction"]

ACTIONS: tuple[type[Action], ...] = (
    Announce,
    Declare,
    Escalate,
    Start,
    Restart,
    Rollback,
    Deploy,
    ConfigRollback,
    RestoreNetwork,
    Scale,
    CircuitBreak,
    SwitchKey,
    Throttle,
    Cache,
    Flag,
    Maintenance,
    PauseQueue,
    ConfigSet,
    RotateSecret,
    RouteAway,
    Block,
    RevokeSession,
    ArchiveLogs,
    RenewCertificate,
    RetryStuck,
    FreeDisk,
    TerminateQueries,
    Http,
    Run,
    WaitFor,
    RefreshPool,
    MigrateDown,
    Fence,
    Failover,
    CopyState,
    RestoreBackup,
    SwapRestored,
    Repeat,
    Heal,
    Revert,
)
