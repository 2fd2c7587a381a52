"""The data directory, its lock, its logs and the ports."""

import os
import pwd
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from embedded_stack.binaries import find_binaries
from embedded_stack.errors import PortTakenError, StackError
from embedded_stack.identity import NAMESPACED
from embedded_stack.layout import prepare_layout
from embedded_stack.lock import DataDirectoryLock
from embedded_stack.logs import LOG_LIMIT_BYTES, open_log, tail
from embedded_stack.ports import first_free, require_free
from testkit.directories import temporary_server_directory


def test_a_directory_in_use_is_refused_with_the_process_that_uses_it(tmp_path: Path) -> None:
    lock = DataDirectoryLock.acquire(tmp_path)
    with pytest.raises(StackError, match=rf"in use by process {os.getpid()}.*WORKFLOW_DATA_DIR"):
        DataDirectoryLock.acquire(tmp_path)
    lock.release()


def test_a_released_directory_can_be_used_again(tmp_path: Path) -> None:
    DataDirectoryLock.acquire(tmp_path).release()
    DataDirectoryLock.acquire(tmp_path).release()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="set WORKFLOW_DATA_DIR"):
        DataDirectoryLock.acquire(tmp_path / "file" / "data")


def test_a_taken_port_is_refused_with_the_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {port} is taken.*set WORKFLOW_HTTP_PORT"):
            require_free(port, "WORKFLOW_HTTP_PORT")


def test_the_first_free_port_is_found_beyond_those_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert first_free(port, taken=set()) > port


def test_an_error_can_quote_the_end_of_a_log(tmp_path: Path) -> None:
    with open_log(tmp_path / "logs" / "a.log") as log:
        log.write(b"one\ntwo\nthree\n")

    assert tail(tmp_path / "logs" / "a.log", lines=2) == "\n    two\n    three"
    assert tail(tmp_path / "missing.log") == ""


def test_a_log_that_has_grown_too_long_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("wb") as file:
        file.truncate(LOG_LIMIT_BYTES + 1)
    open_log(log).close()

    assert log.stat().st_size == 0
    assert (tmp_path / "a.log.1").stat().st_size == LOG_LIMIT_BYTES + 1


def test_sockets_of_a_deep_directory_go_where_their_path_is_short() -> None:
    with temporary_server_directory() as base:
        base.chmod(0o755)
        deep = base.joinpath(*["directory"] * 10)
        sockets = prepare_layout(deep, find_binaries()).sockets
        again = prepare_layout(deep, find_binaries()).sockets

        try:
            assert len(os.fsencode(sockets / ".s.PGSQL.65535.lock")) <= 107
            assert sockets == again
            assert sockets.stat().st_mode & 0o777 == 0o700
        finally:
            sockets.rmdir()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A directory that only root can enter."""
    (tmp_path / "closed").mkdir(mode=0o700)
    return tmp_path / "closed" / "data"


@needs_root
def test_roots_servers_run_as_nobody() -> None:
    with temporary_server_directory() as directory:
        layout = prepare_layout(directory, find_binaries())

        assert layout.identity.uid == pwd.getpwnam("nobody").pw_uid
        assert layout.state.stat().st_uid == layout.identity.uid


@needs_root
def test_data_stays_with_the_user_who_made_it() -> None:
    with temporary_server_directory() as directory:
        (directory / "servers" / "state").mkdir(parents=True)
        os.chown(directory / "servers" / "state", 12345, 12345)

        assert prepare_layout(directory, find_binaries()).identity.uid == 12345


@needs_root
def test_in_a_closed_directory_roots_servers_run_in_a_user_namespace(closed: Path) -> None:
    if not NAMESPACED.can_run("/bin/sh", "-c", "true"):
        pytest.skip("user namespaces are off")

    assert prepare_layout(closed, find_binaries()).identity == NAMESPACED
    assert prepare_layout(closed, find_binaries()).identity == NAMESPACED


@needs_root
def test_without_user_namespaces_roots_data_goes_where_it_can_be_reached(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded_stack.identity._libc.unshare", lambda _: -1)
    with temporary_server_directory() as place:
        place.chmod(0o755)
        layout = prepare_layout(closed, find_binaries(), place)

        assert layout.state.is_relative_to(place)
        assert layout.identity.can_run("/bin/sh", "-c", 'test -w "$0"', layout.state)
        assert prepare_layout(closed, find_binaries(), place) == layout


@needs_root
def test_binaries_that_cannot_be_reached_are_copied_to_where_they_can(closed: Path) -> None:
    found = find_binaries()
    closed.mkdir()
    hidden = replace(found, valkey_server=Path(shutil.copy2(found.valkey_server, closed)))

    with temporary_server_directory() as directory:
        layout = prepare_layout(directory, hidden)
        assert layout.binaries.valkey_server.is_relative_to(directory)
        assert layout.identity.can_run(layout.binaries.valkey_server, "--version")
        assert layout.identity.can_run(layout.binaries.postgres("initdb"), "--version")
        before = layout.binaries.valkey_server.stat().st_ctime_ns
        prepare_layout(directory, hidden)

        assert layout.binaries.valkey_server.stat().st_ctime_ns == before


def test_data_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_server_directory() as directory:
        prepare_layout(directory, find_binaries())
        monkeypatch.setattr("os.geteuid", lambda: 12345)

        with pytest.raises(StackError, match=r"belongs to another user.*WORKFLOW_DATA_DIR"):
            prepare_layout(directory, find_binaries())


def test_the_quoted_end_of_a_log_leaves_out_what_an_earlier_run_wrote(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\nnew\n")

    assert tail(log, from_bytes=len("old\n")) == "\n    new"
    assert tail(log, from_bytes=len("old\nnew\n")) == ""
