"""Commands for the user of a running stack, each with a description of its output."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from service_kit.tools.word_lists import words

from embedded_stack.ports import LOOPBACK
from embedded_stack.settings import DEFAULT_GATEWAY_PORT, EXAMPLE_HANDLERS, Ports

EXAMPLE_FILE = "examples/code_census/workflow.yaml"
EXAMPLE_WORKFLOW = "code-census"


class Hint(NamedTuple):
    """A command, and the meaning of its output."""

    command: str
    meaning: str


def first_steps(ports: Ports, worker_modules: str) -> Sequence[Hint]:
    """Return commands for the ports in use that need only the programs of `make install`.

    They include the example if the workers have its handlers and its file is in this folder.
    """
    workflowctl = program("workflowctl")
    address = "" if ports.gateway == DEFAULT_GATEWAY_PORT else f" --address {LOOPBACK}:{ports.gateway}"
    gateway, http = f"http://{LOOPBACK}:{ports.gateway}", f"http://{LOOPBACK}:{ports.http}"
    hints = [
        Hint(f"{workflowctl} list{address}", "all executions; get ID shows one with its tasks"),
        Hint(f"{workflowctl} queues{address}", "how many jobs wait"),
        Hint(f"curl {http}/health", "the health of all services"),
        Hint(
            f"{program('buf')} curl --protocol grpc --http2-prior-knowledge --list-methods {gateway}",
            "every method, by reflection",
        ),
    ]
    if EXAMPLE_HANDLERS in words(worker_modules) and Path(EXAMPLE_FILE).is_file():
        example = [
            Hint(f"{workflowctl} publish {EXAMPLE_FILE}{address}", "the example, ready to start"),
            Hint(f"{workflowctl} start {EXAMPLE_WORKFLOW} --watch{address}", "an execution of it, live"),
        ]
        return example + hints
    return [Hint(f"{workflowctl} list workflows{address}", "the workflows that can start"), *hints]


def with_other_tools(ports: Ports, psql_url: str, *, embedded: bool) -> Sequence[Hint]:
    """Return commands for tools that `make install` does not install."""
    psql = f"psql '{psql_url}'" if embedded else 'psql "$DEFAULT_CONNECTION"'
    return [
        Hint(psql, "the database"),
        Hint(f"grpcurl -plaintext {LOOPBACK}:{ports.gateway} list", "every service, by reflection"),
    ]


def program(name: str) -> str:
    """Return the path of a program beside this Python, relative to the current folder if possible."""
    path = Path(sys.executable).parent / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
