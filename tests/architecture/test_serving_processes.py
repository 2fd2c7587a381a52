"""A process that serves does without what only a migration needs."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("service", ["workflow_catalog", "execution_orchestrator"])
def test_a_process_that_serves_does_not_load_alembic(service: str) -> None:
    """Alembic takes 14 MiB of memory."""
    code = f"import sys, {service}.bootstrap; sys.exit('alembic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
