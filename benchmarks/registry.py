"""The interface of a benchmark: a module with a `run`, and its result."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import Figure
from benchmarks.stack import Stack


@dataclass(frozen=True, slots=True)
class Context:
    """The options of the command line, and `say`, which reports progress."""

    quick: bool
    rounds: int
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """The figures for the file, and the counters for one execution of each workload."""

    figures: Mapping[str, Any]
    counters: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark of the suite."""

    id: str
    title: str
    run: Callable[[Stack, Context], Awaitable[Result]]
