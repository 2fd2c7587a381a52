"""The data directory, its lock, its logs and the ports."""

import os
import socket
import tempfile
from pathlib import Path

import pytest
from embedded_stack.binaries import find_binaries
from embedded_stack.errors import PortTakenError, StackError
from embedded_stack.layout import prepare_layout
from embedded_stack.lock import DataDirectoryLock
from embedded_stack.logs import LOG_LIMIT_BYTES, open_log, tail
from embedded_stack.ports import first_free, require_free


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
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        deep = Path(base).joinpath(*["directory"] * 10)
        sockets = prepare_layout(deep, find_binaries()).sockets
        again = prepare_layout(deep, find_binaries()).sockets
        try:
            assert len(os.fsencode(sockets / ".s.PGSQL.65535.lock")) <= 107
            assert sockets == again
            assert sockets.stat().st_mode & 0o777 == 0o700
        finally:
            sockets.rmdir()
