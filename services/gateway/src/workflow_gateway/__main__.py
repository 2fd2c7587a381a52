"""`python -m workflow_gateway serve | config | --help`."""

import sys

from service_kit.process.cli import run

from workflow_gateway.bootstrap import serve
from workflow_gateway.settings import GatewaySettings

if __name__ == "__main__":
    sys.exit(run("workflow-gateway", serve, GatewaySettings))
