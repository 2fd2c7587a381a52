"""`python -m benchmarks [B1 B2 ...]`: measure, print tables, write build/bench.json."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from embedded_stack.errors import StackError
from rich.console import Console

from benchmarks.report import print_report
from benchmarks.stack import DATA
from benchmarks.suite import BENCHMARKS, Plan, run_suite

OUTPUT = Path("build/bench.json")
PROFILES = Path("build/profiles")
DEFAULT_WORKERS = 2
DEFAULT_ROUNDS = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    ids: Annotated[
        list[str] | None, typer.Argument(help="The benchmarks to run, such as B1 B2; by default all.")
    ] = None,
    quick: Annotated[
        bool, typer.Option(help="Fewer executions and one round, to check that it works.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds of B2.")] = DEFAULT_ROUNDS,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = DEFAULT_WORKERS,
    output: Annotated[Path, typer.Option(help="The file for the figures.")] = OUTPUT,
    profile: Annotated[bool, typer.Option(help=f"Let every service write a profile to {PROFILES}.")] = False,
) -> None:
    """Start the whole stack on free ports, measure it, and stop it. Takes less than four minutes."""
    wanted = [each.upper() for each in ids or BENCHMARKS]
    if unknown := [each for each in wanted if each not in BENCHMARKS]:
        raise typer.BadParameter(f"there is no {unknown[0]}: choose from {', '.join(BENCHMARKS)}")
    console = Console(stderr=True)
    plan = Plan(wanted, quick, 1 if quick else rounds, workers, PROFILES if profile else None)
    try:
        report = asyncio.run(_until_stopped(plan, console))
    except (StackError, TimeoutError, RuntimeError, grpc.RpcError) as error:
        console.print(f"the benchmark failed: {error!r}", style="red", highlight=False, markup=False)
        console.print(f"the services' logs are in {DATA / 'logs'}", highlight=False)
        sys.exit(1)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n")
    print_report(report, Console())
    console.print(f"written to {output}", highlight=False)


async def _until_stopped(plan: Plan, console: Console) -> dict[str, Any]:
    """Run the suite. SIGTERM and Ctrl-C cancel it, which stops the stack."""
    run = asyncio.ensure_future(run_suite(plan, lambda line: console.print(line, highlight=False)))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, run.cancel)
    try:
        return await run
    except asyncio.CancelledError:
        console.print("stopped before the end")
        sys.exit(1)


if __name__ == "__main__":
    app()
