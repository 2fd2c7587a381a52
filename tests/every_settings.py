"""The settings of every process of ours."""

from embedded_stack.settings import StackSettings
from execution_orchestrator.settings import OrchestratorSettings
from service_kit.process.settings import Settings
from workflow_catalog.settings import CatalogSettings
from workflow_gateway.settings import GatewaySettings
from workflow_worker.settings import WorkerSettings

SETTINGS: tuple[type[Settings], ...] = (
    CatalogSettings,
    OrchestratorSettings,
    GatewaySettings,
    WorkerSettings,
    StackSettings,
)
