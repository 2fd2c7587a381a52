"""A service knows which migrations it needs from the files that it brings."""

from pathlib import Path

import pytest
from execution_orchestrator.adapters.postgres import schema as orchestrator
from service_kit.data.schema_revision import newest_revision
from workflow_catalog.adapters.postgres import schema as catalog


def test_the_newest_revision_is_the_highest_number_among_the_migrations(tmp_path: Path) -> None:
    for name in ("0002_more.py", "0010_most.py", "0001_first.py", "__init__.py", "notes.txt"):
        (tmp_path / name).touch()
    assert newest_revision(tmp_path) == "0010"


@pytest.mark.parametrize("service", [orchestrator, catalog])
def test_a_service_needs_the_revision_that_its_newest_migration_declares(service: object) -> None:
    needed = service.SCHEMA.revision  # type: ignore[attr-defined]
    versions = Path(service.__file__).with_name("migrations") / "versions"  # type: ignore[attr-defined]
    (newest,) = versions.glob(f"{needed}_*.py")

    assert f'revision = "{needed}"' in newest.read_text()
