"""Costs per execution, and where they are read."""

import os
import subprocess
import sys

from prometheus_client import CollectorRegistry, Counter, generate_latest

from benchmarks.counters import Snapshot, messages, total
from benchmarks.processes import cpu_seconds

BUSY = "import time\nwhile time.process_time() < 0.2: pass\nprint('busy', flush=True)\ninput()"


def test_costs_are_what_was_added_divided_by_the_executions():
    before = Snapshot({"commits": 10.0}, {"orchestrator": 1.0, "client": 0.5})
    after = Snapshot({"commits": 30.0}, {"orchestrator": 1.2, "client": 0.7})

    costs = {name: round(cost, 6) for name, cost in after.per_execution(before, 100).items()}

    assert costs == {
        "commits_per_execution": 0.2,
        "cpu_ms_per_execution": 4.0,
        "cpu_orchestrator_ms_per_execution": 2.0,
        "cpu_client_ms_per_execution": 2.0,
    }


def test_a_counter_is_summed_over_its_labels_and_no_other_is():
    registry = CollectorRegistry()
    counter = Counter("grpc_server_msg_sent", "Sent.", ["grpc_method"], registry=registry)
    counter.labels("StartExecution").inc(3)
    counter.labels("WaitExecution").inc(4)
    Counter("grpc_server_msg_received", "Received.", registry=registry).inc(5)
    page = generate_latest(registry).decode()

    assert (total(page, "grpc_server_msg_sent"), messages(page)) == (7.0, 12.0)


def test_the_time_of_children_is_their_parents():
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        with_children = cpu_seconds({"us": os.getpid()})["us"]
        alone = cpu_seconds({"us": os.getpid()}, alone=frozenset({"us"}))["us"]
    finally:
        child.communicate("\n")

    assert with_children - alone >= 0.15


def test_a_process_that_ended_is_left_out():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert cpu_seconds({"gone": child.pid}) == {}
