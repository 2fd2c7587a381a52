"""Every limit of the catalog, in one place."""

from datetime import timedelta
from typing import Final

MAX_FIELD_CHARS: Final = 300
"""Length of the path in a problem or a change. The middle of a longer path is left out."""

MAX_DESCRIPTION_CHARS: Final = 1_000
"""Length of the text of a problem, and of the reason of a change. A longer text is cut."""

MAX_TASKS: Final = 500
"""Tasks in a definition."""

MAX_EXPRESSIONS: Final = 5_000
"""Number of `${...}` in all templates of a definition together."""

MAX_CHILD_DEPTH: Final = 10
"""Levels of workflows that start other workflows as children."""

MAX_DESCRIBED_SCHEMA_BYTES: Final = 8 * 1024
"""If a JSON Schema has more bytes of JSON than this, only its first error of form is reported."""

MAX_PATTERNS: Final = 500
"""Regular expressions in one JSON Schema."""

MAX_CANDIDATES: Final = 500
"""Names to search for one that is similar to an unknown name. Each takes about 20 us."""

MAX_CHANGES: Final = 1_000
"""Changes that a comparison reports."""

MAX_CHANGE_VALUE_BYTES: Final = 4096
"""Size of a value in a change, as JSON. Larger values are left out."""

MAX_FOUND: Final = 1_000
"""Number of problems after which a check stops."""

MAX_PROBLEMS: Final = 100
"""Problems of one definition that are reported, errors before warnings."""

MAX_CACHED_DEFINITIONS: Final = 10_000
"""Definitions cached in memory by content hash. Content never changes, so no entry can be stale."""

MAX_CACHED_DEFINITION_BYTES: Final = 32 * 1024 * 1024
"""Size of the definitions cached in memory as JSON. The least recently used one is evicted first."""

MAX_CACHED_MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""Size of the definitions cached in memory as protobuf messages."""

MAX_DRAFT_ATTEMPTS: Final = 5
"""How often a publish or an update is tried if the draft changes while it is checked or merged."""

MAX_WAITING_CHECKS: Final = 16
"""Checks that may wait in one lane. Each takes up to two seconds. Further calls are refused as OVERLOADED."""

LONG_ATTEMPT: Final = timedelta(minutes=5)
"""If an attempt may take longer than this, its handler must heartbeat."""

DEFAULT_START_TO_CLOSE: Final = timedelta(minutes=5)

DEFAULT_EXECUTION_TIMEOUT: Final = timedelta(hours=24)

DEFAULT_MAXIMUM_INTERVAL: Final = timedelta(seconds=60)

MAX_SPAN: Final = timedelta(days=10_000)
"""A longer span counts as this one in checks. The contract refuses longer spans anyway."""
