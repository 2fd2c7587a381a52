"""Every limit of the expression language, in one place."""

from __future__ import annotations

from typing import Final

MAX_EXPRESSION_CHARACTERS: Final = 4096
"""Length of the CEL text between `${` and `}`."""

MAX_TEMPLATE_DEPTH: Final = 64
"""Levels of lists and objects in a template."""

MAX_TEMPLATE_EXPRESSIONS: Final = 500
"""Number of `${...}` in one template."""

MAX_CACHED_EXPRESSIONS: Final = 4096
"""Compiled expressions kept in memory. The least recently used is evicted first. One takes about 10 KiB."""

MAX_RESULT_NODES: Final = 500_000
"""Values in the result of one expression: as many as 1 MiB of JSON can hold."""

MAX_WORK: Final = 20_000_000
"""Steps that one evaluation may take in the worst case: about 0.2 s. `cost.py` defines a step."""

MAX_TOTAL_WORK: Final = 500_000_000
"""Steps that all expressions of one template, or of all items of a fan-out, may take together: about 5 s."""

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024
"""JSON bytes that the result of one expression may have in the worst case. A payload may have fewer."""

MAX_SIMILAR_NAMES: Final = 200
"""Declared names to search for one that is similar to an unknown name."""
