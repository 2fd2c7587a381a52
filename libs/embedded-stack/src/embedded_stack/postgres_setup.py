"""Create the data directories of the primary and of its replica.

Each is built beside its final place and renamed when it is complete, so a killed set-up leaves no
half-finished directory.
"""

import secrets
import shutil
from pathlib import Path

from embedded_stack.binaries import POSTGRES_MAJOR
from embedded_stack.errors import StackError
from embedded_stack.layout import Layout
from embedded_stack.postgres import Postgres
from embedded_stack.processes import run_tool

REPLICATION_SLOT = "replica"


def ensure_primary_data(primary: Postgres, database: str) -> None:
    """Create the primary's data with one empty database, unless it exists.

    Raise StackError if there is data of another major version.
    """
    version = primary.directory / "PG_VERSION"
    if version.exists():
        if (found := version.read_text().strip()) != POSTGRES_MAJOR:
            raise StackError(
                f"{primary.directory} holds data of PostgreSQL {found}, but this is {POSTGRES_MAJOR}: "
                "move it with pg_upgrade or pg_dump, or set WORKFLOW_DATA_DIR to another directory"
            )
        return
    layout = primary.layout
    log = layout.logs / "postgres-setup.log"
    directory = _empty(primary)
    no_sync = [] if primary.fsync else ["--no-sync"]
    access = ["--username=postgres", f"--pwfile={_password_file(layout)}"]
    access += ["--auth-local=trust", "--auth-host=scram-sha-256"]
    # The bundled build has no ICU. This locale sorts by code point and supports all of Unicode.
    text = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb: list[str | Path] = [layout.binaries.postgres("initdb"), "-D", directory, "--no-instructions"]
    run_tool([*initdb, *access, *text, *no_sync], layout.identity, log)
    single_user: list[str | Path] = [layout.binaries.postgres("postgres"), "--single", "-D", directory]
    run_tool([*single_user, "postgres"], layout.identity, log, stdin=f'CREATE DATABASE "{database}"\n')
    directory.rename(primary.directory)


def ensure_replica_data(primary: Postgres, replica: Postgres) -> None:
    """Copy the running primary, unless a replica exists that can still catch up with it."""
    if (replica.directory / "standby.signal").exists() and _slot_is_usable(primary):
        return
    rebuild_replica_data(primary, replica)


def rebuild_replica_data(primary: Postgres, replica: Postgres) -> None:
    """Delete the data of a stopped replica and copy the running primary again."""
    shutil.rmtree(replica.directory, ignore_errors=True)
    primary.query(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots "
        f"where slot_name = '{REPLICATION_SLOT}' and not active"
    )
    layout = primary.layout
    directory = _empty(replica)
    no_sync = [] if primary.fsync else ["--no-sync"]
    run_tool(
        [
            layout.binaries.postgres("pg_basebackup"),
            *("-h", layout.sockets, "-p", str(primary.port), "-U", "postgres", "-D", directory),
            *("-X", "stream", "-R", "-C", "-S", REPLICATION_SLOT, "-c", "fast", *no_sync),
        ],
        layout.identity,
        layout.logs / "postgres-setup.log",
    )
    directory.rename(replica.directory)


def replica_settings(layout: Layout, primary_port: int) -> dict[str, str]:
    """Return the settings with which a server follows the primary. Ports may differ at each start."""
    return {
        "primary_conninfo": f"host={_quoted(layout.sockets)} port={primary_port} user=postgres "
        "application_name=replica",
        "primary_slot_name": REPLICATION_SLOT,
    }


def superuser_password(layout: Layout) -> str:
    """Return the password of the user postgres for connections over TCP."""
    return _password_file(layout).read_text().strip()


def _password_file(layout: Layout) -> Path:
    path = layout.state / "password"
    if not path.exists():
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(secrets.token_hex(16))
        layout.identity.owns_file(new)
        new.rename(path)
    return path


def _slot_is_usable(primary: Postgres) -> bool:
    status = primary.query(
        "select coalesce(wal_status, 'reserved') from pg_replication_slots "
        f"where slot_name = '{REPLICATION_SLOT}'"
    )
    return status in ("reserved", "extended", "unreserved")


def _empty(server: Postgres) -> Path:
    directory = server.directory.with_name(f"{server.name}.new")
    shutil.rmtree(directory, ignore_errors=True)
    return directory


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
