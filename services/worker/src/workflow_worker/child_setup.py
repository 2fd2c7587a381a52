"""The steps of a child process of the deployable worker before its first task."""

from __future__ import annotations

from service_kit.process.settings import load
from service_kit.process.telemetry import configure_logging

from workflow_worker.settings import WorkerSettings

SERVICE_NAME = "workflow-worker"
FUNCTION = f"{__name__}:set_up"


def set_up() -> None:
    """Log as the worker does: both read the same environment. Raise SettingsError if it is wrong."""
    configure_logging(SERVICE_NAME, load(WorkerSettings))
