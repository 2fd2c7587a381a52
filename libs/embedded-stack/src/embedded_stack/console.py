"""The output for the user: progress while the stack starts, and its addresses when it runs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from embedded_stack.hints import Hint, first_steps, with_other_tools
from embedded_stack.ports import LOOPBACK
from embedded_stack.services import WORKER_GRPC_OFFSET, ServicePlan


class Stopwatch:
    """A stopwatch that starts when it is created."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds since it was created."""
        return time.monotonic() - self._started


class Reporter:
    """Prints to the error output, so that the output of a command stays clean."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._status = self.console.status("starting")
        self._starting = False

    @contextmanager
    def starting(self) -> Iterator[Stopwatch]:
        """Show progress while the block lasts: on a terminal, each line replaces the one before."""
        stopwatch = Stopwatch()
        self._starting = True
        try:
            with self._status:
                yield stopwatch
        finally:
            self._starting = False

    def say(self, line: str) -> None:
        """Show progress while the stack starts, and later the events of the stack."""
        if self._starting:
            self._status.update(escape(line))
        elif not self._quiet:
            now = time.strftime("%H:%M:%S")
            self.console.print(f"[dim]{now}[/dim] {escape(line)}", soft_wrap=True)

    def error(self, message: str) -> None:
        """Show an error."""
        self.console.print(f"[bold red]error:[/bold red] {escape(message)}", soft_wrap=True)

    def warn(self, message: str) -> None:
        """Show a warning."""
        self.console.print(f"[yellow]warning:[/yellow] {escape(message)}", soft_wrap=True)

    def show_addresses(self, plan: ServicePlan, workers: int, psql_url: str) -> None:
        """Show the addresses of a running stack, and commands to try."""
        if self._quiet:
            return
        self.console.print()
        self.console.print(_addresses(plan, workers))
        self._show_hints("Try, in another terminal", first_steps(plan.ports, plan.worker_modules))
        others = with_other_tools(plan.ports, psql_url, embedded=plan.embedded)
        self._show_hints("If you have these tools", others)
        self.console.print(f"\nData and logs are in {plan.data}. Ctrl-C stops everything.\n", soft_wrap=True)

    def _show_hints(self, title: str, hints: Sequence[Hint]) -> None:
        self.console.print(f"\n[bold]{title}[/bold]")
        for hint in hints:
            self.console.print(f"  # {hint.meaning}", style="dim", soft_wrap=True, markup=False)
            self.console.print(f"  {hint.command}", soft_wrap=True, markup=False)


def _addresses(plan: ServicePlan, workers: int) -> Table:
    ports = plan.ports
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_row("gateway", f"{LOOPBACK}:{ports.gateway}", "gRPC: every method of every service")
    table.add_row("", f"http://{LOOPBACK}:{ports.http}", "/health, /metrics")
    table.add_row("catalog", f"{LOOPBACK}:{ports.catalog}", f"http://{LOOPBACK}:{ports.catalog_http}/metrics")
    metrics = f"http://{LOOPBACK}:{ports.orchestrator_http}/metrics"
    table.add_row("orchestrator", f"{LOOPBACK}:{ports.orchestrator}", metrics)
    first = ports.first_worker_http
    if first is None:
        table.add_row("workers", str(workers), "health on any free port")
    else:
        table.add_row("workers", f"{LOOPBACK}:{first + WORKER_GRPC_OFFSET} ...", f"gRPC health of {workers}")
        table.add_row("", f"http://{LOOPBACK}:{first} ...", "/health, /metrics")
    if plan.embedded:
        table.add_row("primary", f"{LOOPBACK}:{ports.postgres}", "PostgreSQL, for writes")
        table.add_row("replica", f"{LOOPBACK}:{ports.replica}", "PostgreSQL, for reads")
        table.add_row("redis", f"{LOOPBACK}:{ports.redis}", "queue, cache, locks, pub/sub")
    else:
        table.add_row("stores", "your own", "from DEFAULT_CONNECTION and REDIS")
    return table
