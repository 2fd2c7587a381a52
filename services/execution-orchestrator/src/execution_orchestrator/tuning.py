"""The periods, pages and limits of the engine that no operator sets: their usual values are the right ones.

Each class defines its own values, and says why. A test that cannot wait, or that needs a small limit, gives
others to the whole service here.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from service_kit.data.pools import ACQUIRE_TIMEOUT_SECONDS
from service_kit.data.silence import PRIMARY_PATIENCE, Patience

from execution_orchestrator.adapters.catalog_client import TIMEOUT_SECONDS
from execution_orchestrator.application.engine.commit import MAX_TRIES
from execution_orchestrator.application.engine.plans import MAX_PLAN_BYTES
from execution_orchestrator.application.engine.quarantine import FIRST_PAUSE_SECONDS
from execution_orchestrator.application.ports.upkeep_store import RECONNECT_GRACE
from execution_orchestrator.application.upkeep.expiry import PERIOD_SECONDS
from execution_orchestrator.application.upkeep.readiness import ReadinessLimits
from execution_orchestrator.application.upkeep.reaper import TAKE_OVER_AFTER
from execution_orchestrator.application.upkeep.sweep import SweepPace
from execution_orchestrator.application.upkeep.timers import TimerPace
from execution_orchestrator.application.watching.usage import MAX_TYPE_BYTES
from execution_orchestrator.application.workers import live_task_types
from execution_orchestrator.application.workers.connected_workers import BoardLimits
from execution_orchestrator.application.workers.dispatcher import DispatcherPace
from execution_orchestrator.domain.limits import MAX_FAN_OUT_OUTPUT_BYTES
from execution_orchestrator.entrypoints.worker_servicer import SessionLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The limits and periods of the parts of one orchestrator."""

    catalog_timeout_seconds: float = TIMEOUT_SECONDS
    commit_tries: int = MAX_TRIES
    connected_workers: BoardLimits = field(default_factory=BoardLimits)
    database_patience: Patience = PRIMARY_PATIENCE
    dispatcher: DispatcherPace = field(default_factory=DispatcherPace)
    expiry_seconds: float = PERIOD_SECONDS
    fan_out_output_bytes: int = MAX_FAN_OUT_OUTPUT_BYTES
    live_types_refresh_seconds: float = live_task_types.REFRESH_SECONDS
    live_types_trust_seconds: float = live_task_types.TRUST_SECONDS
    plan_bytes: int = MAX_PLAN_BYTES
    quarantine_pause_seconds: float = FIRST_PAUSE_SECONDS
    readiness: ReadinessLimits = field(default_factory=ReadinessLimits)
    reconnect_grace: timedelta = RECONNECT_GRACE
    slow_read_seconds: float = ACQUIRE_TIMEOUT_SECONDS
    sessions: SessionLimits = field(default_factory=SessionLimits)
    sweep: SweepPace = field(default_factory=SweepPace)
    take_over_after: timedelta = TAKE_OVER_AFTER
    timers: TimerPace = field(default_factory=TimerPace)
    usage_type_bytes: int = MAX_TYPE_BYTES


USUAL_TUNING = Tuning()
