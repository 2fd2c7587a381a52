"""Every limit of schemas and of their checks, in one place."""

from typing import Final

MAX_DEPTH: Final = 32
"""Levels of lists and objects in a value that is checked."""

MAX_SCHEMA_CHECKS: Final = 512
"""How often a schema may check one and the same value."""

MAX_SCHEMA_CHAIN: Final = 32
"""Parts of a schema that apply to one value and lie one within the other, or refer to each other."""

MAX_SCHEMA_PLACES: Final = 5_000
"""Kinds of places in a value that a schema may tell apart."""

MAX_SCHEMA_STEPS: Final = 20_000
"""Steps that one byte of a value may cause in a schema that is published: 0.5 ms at most, so 10 KiB take 5 s
at most. CHECK_CPU_SECONDS holds in any case.
"""

MAX_PATTERN_BYTES: Final = 64 * 1024
"""Of a regular expression, compiled."""

PATTERN_STEPS: Final = 200
"""Steps for each character of a text: a pattern of MAX_PATTERN_BYTES takes up to 5 microseconds for each."""

MAX_INLINE_STEPS: Final = 1_200_000
"""Of a check on an event loop: about 30 ms, as for evaluations. A larger check is made in a child process."""

MAX_INLINE_SCHEMA_BYTES: Final = 64 * 1024
"""Of a schema, as JSON, that is compiled outside of the child process: that takes up to 20 ms."""

FAULT_STEPS: Final = 150
"""Steps for each violation that is found, with the copy of the value that it has."""

MAX_FAULTS: Final = 100_000
"""Violations that one value may have in theory if all of them are looked for; else only the first one is."""

MAX_VIOLATIONS: Final = 20
"""Violations of one value that are told."""

MAX_PROBLEM_CHARACTERS: Final = 500
"""Of each text of a violation; the sentence quotes the value that is wrong, the path has keys of it."""

CHECK_CPU_SECONDS: Final = 5
"""Processor time of one check in the child process. The kernel ends the process at most a second later."""

CHECK_WALL_SECONDS: Final = 60.0
"""Time after which a check in the child process is given up: the machine is overloaded, or it hangs."""

CHILD_MEMORY_BYTES: Final = 512 * 1024 * 1024
"""Of the child process. It takes about 25 MiB before its first check."""

CHILD_SCHEMAS: Final = 64
"""Compiled schemas that the child process keeps."""
