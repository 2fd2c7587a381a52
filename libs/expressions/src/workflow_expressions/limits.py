"""Every limit of the expression language, in one place."""

from __future__ import annotations

from typing import Final

MAX_EXPRESSION_CHARACTERS: Final = 4096
"""Of the CEL text between `${` and `}`."""

MAX_TEMPLATE_DEPTH: Final = 64
"""Levels of lists and objects in a template."""

MAX_TEMPLATE_EXPRESSIONS: Final = 500
"""`${...}` in one template."""

MAX_CACHED_EXPRESSIONS: Final = 4096
"""Compiled expressions kept in memory, the least recently used leave first. One is about 10 KiB."""

MAX_RESULT_NODES: Final = 500_000
"""Values in the result of one expression: what 1 MiB of JSON can hold."""

MAX_WORK: Final = 20_000_000
"""Steps that one evaluation may take at worst: about 0.2 s. See `cost.py` for what a step is."""

MAX_TOTAL_WORK: Final = 500_000_000
"""Steps that all expressions of one template, or of all items of a fan-out, may take together: about 5 s."""

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024
"""JSON bytes that the result of one expression may have at worst. A payload holds less."""

MAX_SIMILAR_NAMES: Final = 200
"""Declared names that are looked through for one that is near to an unknown one."""
