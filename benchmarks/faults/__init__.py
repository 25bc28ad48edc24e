"""All faults, each of which can be tried alone by its name."""

from benchmarks.faults.base import Fault
from benchmarks.faults.databases import (
    Garbage,
    IdleCut,
    IdleLimit,
    IdleLimitSwept,
    Pooler,
    ReadOnly,
    Restart,
    Stalled,
)
from benchmarks.faults.mailways import (
    DeadAddress,
    NatListen,
    NatMail,
    OldKey,
    OldTemplate,
    OneSided,
    OneSidedPassword,
    OneSidedSilent,
)
from benchmarks.faults.processes import Famine, FrozenStart, Kills, Sigstop, Sigterm
from benchmarks.faults.project import Backlog, LongBacklog, RaisingHook, TemplatePanic

ALL: tuple[type[Fault], ...] = (
    Kills,
    IdleCut,
    IdleLimit,
    IdleLimitSwept,
    Restart,
    Garbage,
    OneSided,
    OneSidedSilent,
    OneSidedPassword,
    OldTemplate,
    OldKey,
    ReadOnly,
    Stalled,
    Sigstop,
    Famine,
    DeadAddress,
    NatMail,
    NatListen,
    Pooler,
    Backlog,
    LongBacklog,
    TemplatePanic,
    Sigterm,
    FrozenStart,
    RaisingHook,
)
