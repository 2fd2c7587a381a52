"""The figures as tables for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

COSTS = {
    "commits_per_execution": "commits",
    "statements_per_execution": "statements",
    "wal_bytes_per_execution": "WAL bytes",
    "redis_commands_per_execution": "Redis commands",
    "grpc_messages_per_execution": "gRPC messages",
    "cpu_ms_per_execution": "CPU ms",
}


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print every table that has figures."""
    for table in _tables(report):
        console.print(table)


def _tables(report: Mapping[str, Any]) -> Iterator[Table]:
    if "B1" in report:
        yield _latency(report["B1"])
    if "B2" in report:
        yield _throughput(report["B2"])
    if "B13" in report:
        yield _catalog(report["B13"])
    workloads = report["counters"]["by_workload"]
    if workloads:
        yield _costs(workloads)
        yield _processor_time(workloads)


def _latency(figures: Mapping[str, Any]) -> Table:
    title = f"B1: one no-op task, one at a time, {figures['executions']:,} times"
    table = _table(title, "from submit to", "p50 ms", "p99 ms", "gateway p50 ms", "gateway p99 ms")
    for name in ("accepted", "started", "result"):
        direct = figures[f"submit_to_{name}_ms"]
        through = figures["through_gateway"][f"submit_to_{name}_ms"]
        table.add_row(name, *(f"{each[rank]:.2f}" for each in (direct, through) for rank in ("p50", "p99")))
    return table


def _throughput(figures: Mapping[str, Any]) -> Table:
    table = _table(
        "B2: no-op under load, until Completed", "payload", "starts", "executions/s", "range", "start p99 ms"
    )
    table.add_column("submit to final p99 ms", justify="right")
    for payload, row in figures["by_payload"].items():
        for mode in ("unary", "batched"):
            low, high = row[f"{mode}_range_per_s"]
            table.add_row(
                payload.replace("_", " "),
                mode,
                f"{row[f'{mode}_per_s']:,.0f}",
                f"{low:,.0f} to {high:,.0f}",
                f"{row[f'{mode}_start_p99_ms']:,.1f}",
                f"{row[f'{mode}_submit_to_final_p99_ms']:,.1f}",
            )
    return table


def _catalog(figures: Mapping[str, Any]) -> Table:
    table = _table(f"B13: the catalog, definitions of {figures['tasks']} tasks", "what", "p50 ms", "p99 ms")
    for name, spread in figures.items():
        if name.endswith("_ms"):
            table.add_row(
                name.removesuffix("_ms").replace("_", " "), f"{spread['p50']:.2f}", f"{spread['p99']:.2f}"
            )
    return table


def _costs(workloads: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table("Per execution", "workload", *COSTS.values())
    for name, costs in workloads.items():
        table.add_row(_spoken(name), *(_figure(costs.get(cost)) for cost in COSTS))
    return table


def _processor_time(workloads: Mapping[str, Mapping[str, Any]]) -> Table:
    names = [
        name
        for name in next(iter(workloads.values()))
        if name.startswith("cpu_") and name != "cpu_ms_per_execution"
    ]
    titles = [name.removeprefix("cpu_").removesuffix("_ms_per_execution").replace("_", " ") for name in names]
    table = _table("CPU ms per execution", "workload", *titles)
    for name, costs in workloads.items():
        table.add_row(_spoken(name), *(_figure(costs.get(each)) for each in names))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _spoken(name: str) -> str:
    return name.replace("_bytes", " B").replace("_", " ")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
