"""What is in the database of a catalog."""

from typing import Any


async def stored(catalog: Any) -> list[Any]:
    """Everything that is in the database."""
    async with catalog.database.writer() as connection:
        tables = ("workflows", "workflow_versions", "catalog_request_ids")
        return [
            row for table in tables for row in await connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
        ]
