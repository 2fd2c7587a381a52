"""`python -m workflow_worker serve | config`."""

import sys

from service_kit.process.cli import run

from workflow_worker.bootstrap import serve
from workflow_worker.child_setup import SERVICE_NAME
from workflow_worker.settings import WorkerSettings

if __name__ == "__main__":
    sys.exit(run(SERVICE_NAME, serve, WorkerSettings))
