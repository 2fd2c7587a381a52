"""The settings of the catalog."""

from __future__ import annotations

from service_kit.process.settings import (
    CallSettings,
    DatabaseSettings,
    LogSettings,
    RedisSettings,
    ServerSettings,
)


class CatalogSettings(DatabaseSettings, RedisSettings, ServerSettings, CallSettings, LogSettings):
    """The settings that `python -m workflow_catalog` reads from the environment."""
