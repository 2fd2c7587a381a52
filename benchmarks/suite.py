"""The suite: all benchmarks, which run one after another on one stack."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import b01_latency, b02_throughput, b13_catalog
from benchmarks.client import publish_noop
from benchmarks.machine import describe_machine
from benchmarks.registry import Benchmark, Context
from benchmarks.stack import DATA, running_stack

LIMIT_SECONDS = 235.0

BENCHMARKS = {
    benchmark.id: benchmark
    for benchmark in (
        Benchmark("B1", "one at a time: latency", b01_latency.run),
        Benchmark("B2", "under load: executions a second", b02_throughput.run),
        Benchmark("B13", "the catalog: checks, publishes, queries of the start path", b13_catalog.run),
    )
}

HEADLINE_COUNTERS = ("B2_unary_512_bytes", "B1")
"""The first of these that was measured gives the costs at the top of `counters`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The benchmarks to run, and their options."""

    ids: Sequence[str]
    quick: bool
    rounds: int
    workers: int
    profiles: Path | None


async def run_suite(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmarks; return the content of build/bench.json. Raise TimeoutError after the limit."""
    async with asyncio.timeout(LIMIT_SECONDS):
        say(f"starting the stack with {plan.workers} worker process(es)")
        async with running_stack(plan.workers, plan.profiles) as stack:
            machine = await describe_machine(stack.database_url, DATA)
            await publish_noop(stack.catalog)
            context = Context(plan.quick, plan.rounds, say)
            report: dict[str, Any] = {}
            counters: dict[str, Any] = {}
            for id_ in plan.ids:
                result = await BENCHMARKS[id_].run(stack, context)
                report[id_] = dict(result.figures)
                counters |= result.counters
    headline: dict[str, Any] = next((counters[name] for name in HEADLINE_COUNTERS if name in counters), {})
    report["counters"] = {**headline, "by_workload": counters}
    setup = {"workers": plan.workers, "worker_slots": int(os.environ["WORKFLOW_SLOTS"]), "quick": plan.quick}
    report["machine"] = {**machine, **setup}
    return report
