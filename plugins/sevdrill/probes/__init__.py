"""Every kind of probe. A new one is a small class in one file of this folder and one line in the list."""

from __future__ import annotations

from sevdrill.probes.asking import ExecProbe, LogProbe, MetricProbe, SqlProbe
from sevdrill.probes.base import Probe
from sevdrill.probes.load import LoadProbe
from sevdrill.probes.tls import TlsProbe
from sevdrill.probes.web import HttpProbe, TcpProbe

__all__ = ["PROBES", "Probe"]

PROBES: tuple[type[Probe], ...] = (
    HttpProbe,
    TcpProbe,
    TlsProbe,
    LoadProbe,
    MetricProbe,
    SqlProbe,
    LogProbe,
    ExecProbe,
)
