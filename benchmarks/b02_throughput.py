"""B2: no-op executions under load: executions per second, from the first start until all are Completed."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from benchmarks.client import Client
from benchmarks.figures import median, median_of_each, range_of
from benchmarks.load import Load, Sustained, sustain
from benchmarks.registry import Context, Result
from benchmarks.stack import Stack

PAYLOADS_BYTES = (0, 512, 10_240)
HEADLINE_PAYLOAD_BYTES = 512
SECONDS = 3.0
SECONDS_QUICK = 1.0
WARM_UP_SECONDS = 1.0
UNARY = Load(mode="unary", clients=64, batch=1)
BATCHED = Load(mode="batched", clients=8, batch=50)
MODES = (UNARY, BATCHED)

Rounds = dict[tuple[int, str], list[Sustained]]


async def run(stack: Stack, context: Context) -> Result:
    """Run every payload with unary and batched starts alternately, round after round."""
    rounds: Rounds = defaultdict(list)
    seconds = SECONDS_QUICK if context.quick else SECONDS
    async with Client(stack.orchestrator) as client:
        for mode in MODES:
            await sustain(stack, client, replace(mode, seconds=WARM_UP_SECONDS))
        for number in range(context.rounds):
            context.say(f"B2: round {number + 1} of {context.rounds}")
            for payload in PAYLOADS_BYTES:
                for mode in MODES:
                    load = replace(mode, payload_bytes=payload, seconds=seconds)
                    measured = await sustain(stack, client, load)
                    rounds[payload, load.mode].append(measured)
    return Result(_figures(rounds), _counters(rounds))


def _figures(rounds: Rounds) -> dict[str, Any]:
    return {
        "unary_per_s": _rate(rounds[HEADLINE_PAYLOAD_BYTES, "unary"]),
        "batched_per_s": _rate(rounds[HEADLINE_PAYLOAD_BYTES, "batched"]),
        "payload_bytes": HEADLINE_PAYLOAD_BYTES,
        "by_payload": {
            f"{payload}_bytes": {
                name: value
                for mode in ("unary", "batched")
                for name, value in _mode_figures(mode, rounds[payload, mode]).items()
            }
            for payload in PAYLOADS_BYTES
        },
    }


def _mode_figures(mode: str, measured: list[Sustained]) -> dict[str, Any]:
    return {
        f"{mode}_per_s": _rate(measured),
        f"{mode}_range_per_s": range_of([each.per_second for each in measured]),
        f"{mode}_start_p99_ms": median([each.start_p99_ms for each in measured], 1),
        f"{mode}_submit_to_final_p99_ms": median([each.submit_to_final_p99_ms for each in measured], 1),
    }


def _rate(measured: list[Sustained]) -> float:
    return median([each.per_second for each in measured])


def _counters(rounds: Rounds) -> dict[str, Any]:
    return {
        f"B2_{mode}_{payload}_bytes": median_of_each([each.counters for each in measured])
        for (payload, mode), measured in rounds.items()
    }
