"""Every limit of schemas and of their checks, in one place."""

from typing import Final

MAX_DEPTH: Final = 32
"""Levels of lists and objects in a value that is checked."""

MAX_SCHEMA_CHECKS: Final = 512
"""The most often that a schema may check the same value."""

MAX_SCHEMA_CHAIN: Final = 32
"""Nested parts of a schema, or parts that refer to each other, that apply to the same value."""

MAX_SCHEMA_PLACES: Final = 5_000
"""Kinds of places in a value that a schema may distinguish."""

MAX_SCHEMA_STEPS: Final = 20_000
"""Steps that one byte of a value may cause in a published schema. That is at most 0.5 ms per byte, or 5 s for
10 KiB. CHECK_CPU_SECONDS limits every check in addition.
"""

MAX_PATTERN_BYTES: Final = 64 * 1024
"""Size of a compiled regular expression."""

PATTERN_STEPS: Final = 200
"""Steps for each character of a string: a pattern of MAX_PATTERN_BYTES takes up to 5 µs per character."""

MAX_INLINE_STEPS: Final = 1_200_000
"""Steps of a check on an event loop: about 30 ms, as for evaluations. A child process runs larger checks."""

MAX_INLINE_SCHEMA_BYTES: Final = 64 * 1024
"""Size, as JSON, of a schema that may be compiled outside the child process. Compiling takes up to 20 ms."""

FAULT_STEPS: Final = 150
"""Steps for each violation that is found, including the copy of the value that it contains."""

MAX_FAULTS: Final = 100_000
"""If one value can have more violations than this, the check looks only for the first one."""

MAX_VIOLATIONS: Final = 20
"""Violations of one value that are reported."""

MAX_PROBLEM_CHARACTERS: Final = 500
"""Length of each text of a violation. The sentence quotes the wrong value, and the path has keys of it."""

CHECK_CPU_SECONDS: Final = 5
"""Processor time of one check in the child process. The kernel ends the process at most a second later."""

CHECK_WALL_SECONDS: Final = 60.0
"""Time after which a check in the child process is aborted: the machine is overloaded, or the child hangs."""

CHILD_MEMORY_BYTES: Final = 512 * 1024 * 1024
"""Memory of the child process. It uses about 25 MiB before its first check."""

CHILD_SCHEMAS: Final = 64
"""Compiled schemas that the child process caches."""
