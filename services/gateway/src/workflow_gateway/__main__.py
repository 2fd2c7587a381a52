"""`python -m workflow_gateway serve | config`."""

import sys

from service_kit.process.cli import run

from workflow_gateway.bootstrap import SERVICE_NAME, serve
from workflow_gateway.settings import GatewaySettings

if __name__ == "__main__":
    sys.exit(run(SERVICE_NAME, serve, GatewaySettings))
