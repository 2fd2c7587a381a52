"""A disk without room is named before anything starts."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from embedded_stack.cli import app
from embedded_stack.disk_room import MIN_BYTES, SCARCE_BYTES, require_room, warning_of
from embedded_stack.errors import StackError
from typer.testing import CliRunner

SetFree = Callable[[int], None]


@pytest.fixture
def set_free(monkeypatch: pytest.MonkeyPatch) -> SetFree:
    def set_free(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    return set_free


def test_the_room_is_that_of_a_directory_that_does_not_exist_yet(tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "yet")


def test_a_disk_without_room_is_refused_with_the_setting_to_change(tmp_path: Path, set_free: SetFree) -> None:
    set_free(MIN_BYTES)
    require_room(tmp_path)
    set_free(MIN_BYTES - 1)

    with pytest.raises(StackError, match=r"has 255 MiB free.*needs? 256 MiB.*WORKFLOW_DATA_DIR"):
        require_room(tmp_path)


def test_scarce_room_is_a_warning(tmp_path: Path, set_free: SetFree) -> None:
    set_free(SCARCE_BYTES)
    assert warning_of(tmp_path) is None
    set_free(SCARCE_BYTES - 1)

    assert "only 1023 MiB free" in (warning_of(tmp_path) or "")


@pytest.mark.parametrize("command", [["up"], ["servers", "true"], ["run", "true"]])
def test_no_command_starts_servers_on_a_full_disk(
    tmp_path: Path, set_free: SetFree, command: list[str]
) -> None:
    set_free(0)
    result = CliRunner().invoke(app, [command[0], "--data-dir", str(tmp_path), *command[1:]])

    assert result.exit_code == 1
    assert "has 0 MiB free" in " ".join(result.output.split())
    assert not (tmp_path / "servers").exists()
