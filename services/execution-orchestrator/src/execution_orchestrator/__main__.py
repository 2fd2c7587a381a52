"""`python -m execution_orchestrator serve | migrate | config`."""

import sys

from service_kit.process.cli import run

from execution_orchestrator.bootstrap import SERVICE_NAME, migrate, serve
from execution_orchestrator.settings import OrchestratorSettings

if __name__ == "__main__":
    sys.exit(run(SERVICE_NAME, serve, OrchestratorSettings, migrate))
