"""Settings of other programs that the libraries of a service would follow."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

# fmt: off
LIBPQ_VARIABLES: Final = frozenset([
    "PGDATABASE", "PGGSSLIB", "PGHOST", "PGKRBSRVNAME", "PGOPTIONS", "PGPASSFILE", "PGPASSWORD", "PGPORT",
    "PGSERVICE", "PGSERVICEFILE", "PGSSLCERT", "PGSSLCRL", "PGSSLKEY", "PGSSLMAXPROTOCOLVERSION",
    "PGSSLMINPROTOCOLVERSION", "PGSSLMODE", "PGSSLNEGOTIATION", "PGSSLROOTCERT", "PGTARGETSESSIONATTRS",
    "PGUSER",
])
# fmt: on
"""What asyncpg takes from the environment when a connection string does not say it."""


def forget_libpq_variables(environ: MutableMapping[str, str]) -> list[str]:
    """Remove them, and return the names of those that were set.

    The connection string says everything. A PGSSLMODE or PGUSER of the shell that starts a service belongs to
    another database.
    """
    found = sorted(LIBPQ_VARIABLES & environ.keys())
    for name in found:
        del environ[name]
    return found
