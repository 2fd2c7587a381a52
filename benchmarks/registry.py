"""What a benchmark is: a module with a `run`, and what it gives back."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import Figure
from benchmarks.stack import Stack


@dataclass(frozen=True, slots=True)
class Context:
    """What the command line said, and where to tell of progress."""

    quick: bool
    rounds: int
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """Figures for the file, and the counters per execution of each workload."""

    figures: Mapping[str, Any]
    counters: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark of the suite."""

    id: str
    title: str
    run: Callable[[Stack, Context], Awaitable[Result]]
