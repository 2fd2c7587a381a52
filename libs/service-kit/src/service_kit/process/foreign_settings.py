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
"""The variables that asyncpg reads if the connection string does not give their values."""


def forget_libpq_variables(environ: MutableMapping[str, str]) -> list[str]:
    """Remove LIBPQ_VARIABLES from `environ`, and return the names that were set.

    A service follows its connection string only. A PGSSLMODE or PGUSER in the shell that starts the service
    is meant for another database.
    """
    found = sorted(LIBPQ_VARIABLES & environ.keys())
    for name in found:
        del environ[name]
    return found
