"""Which migrations an embedded database has had."""

from pathlib import Path

import pytest
from embedded_stack.migrations import MigrationRecord


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The migrations of an importable package `migrated_service`."""
    package = tmp_path / "migrated_service"
    versions = package / "adapters" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (package / "__init__.py").touch()
    (versions / "0001_first.py").write_text("create table")
    monkeypatch.syspath_prepend(tmp_path)
    return versions


def record(state: Path) -> MigrationRecord:
    return MigrationRecord(state, ["migrated_service"])


def test_a_new_database_has_had_none(tmp_path: Path, versions: Path) -> None:
    assert not record(tmp_path).is_current()


def test_what_was_run_is_not_run_again(tmp_path: Path, versions: Path) -> None:
    record(tmp_path).note()
    assert record(tmp_path).is_current()


def test_a_further_migration_is_run(tmp_path: Path, versions: Path) -> None:
    record(tmp_path).note()
    (versions / "0002_second.py").write_text("add column")

    assert not record(tmp_path).is_current()


def test_a_changed_migration_is_run(tmp_path: Path, versions: Path) -> None:
    record(tmp_path).note()
    (versions / "0001_first.py").write_text("create another table")

    assert not record(tmp_path).is_current()
