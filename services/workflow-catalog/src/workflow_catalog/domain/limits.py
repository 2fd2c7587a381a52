"""Every limit of the catalog, in one place."""

from datetime import timedelta
from typing import Final

MAX_FIELD_CHARS: Final = 300
"""Of the path in a problem or a change; a longer one loses its middle."""

MAX_DESCRIPTION_CHARS: Final = 1_000
"""Of the text of a problem, and of the reason of a change; a longer one is cut."""

MAX_TASKS: Final = 500
"""Tasks in a definition."""

MAX_EXPRESSIONS: Final = 5_000
"""`${...}` in a definition, all templates together."""

MAX_CHILD_DEPTH: Final = 10
"""Workflows that start workflows, one below the other."""

MAX_DESCRIBED_SCHEMA_BYTES: Final = 8 * 1024
"""Of a JSON Schema, as JSON, of which all errors of form are told. Of a larger one only the first is."""

MAX_PATTERNS: Final = 500
"""Regular expressions in one JSON Schema."""

MAX_CANDIDATES: Final = 500
"""Names that are looked through for one that is near to a name that is not there; each takes about 20 us."""

MAX_CHANGES: Final = 1_000
"""Changes of a comparison that are told."""

MAX_CHANGE_VALUE_BYTES: Final = 4096
"""Of a value in a change, as JSON; larger ones are left out."""

MAX_FOUND: Final = 1_000
"""Problems after which no further ones are looked for."""

MAX_PROBLEMS: Final = 100
"""Problems of one definition that are told at once, errors before warnings."""

MAX_CACHED_DEFINITIONS: Final = 10_000
"""Definitions kept in memory, by their content hash: content never changes, so nothing there can be stale."""

MAX_CACHED_DEFINITION_BYTES: Final = 32 * 1024 * 1024
"""Of definitions kept in memory as JSON; those that were not asked for longest leave first."""

MAX_CACHED_MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""Of definitions kept in memory as protobuf messages."""

MAX_DRAFT_ATTEMPTS: Final = 5
"""How often a publish or an update begins anew because the draft changed while it was checked or merged."""

MAX_WAITING_CHECKS: Final = 16
"""Checks that wait in one lane; each takes up to a second or two. Further calls are refused as OVERLOADED."""

LONG_ATTEMPT: Final = timedelta(minutes=5)
"""An attempt that may take longer must heartbeat."""

DEFAULT_START_TO_CLOSE: Final = timedelta(minutes=5)

DEFAULT_EXECUTION_TIMEOUT: Final = timedelta(hours=24)

DEFAULT_MAXIMUM_INTERVAL: Final = timedelta(seconds=60)

LONGEST_SPAN: Final = timedelta(days=10_000)
"""Longer spans are compared as this one; the contract refuses them."""
