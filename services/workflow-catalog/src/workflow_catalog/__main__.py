"""`python -m workflow_catalog serve | migrate | config`."""

import sys

from service_kit.process.cli import run

from workflow_catalog.bootstrap import SERVICE_NAME, migrate, serve
from workflow_catalog.settings import CatalogSettings

if __name__ == "__main__":
    sys.exit(run(SERVICE_NAME, serve, CatalogSettings, migrate))
