"""Write suggested commands so that they work as printed, in the terminal of this call.

A text names a command as `workflowctl watch ID`. It is printed as the user would type it: with the path if
the shell does not find the program, and with the gateway and the namespace of this call. A service names its
methods (`call ActivateWorkflow`), because most callers use gRPC. This module replaces them by commands.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from workflow_contract.names import DEFAULT_NAMESPACE
from workflow_sdk.client import DEFAULT_ADDRESS

_PROGRAM = "workflowctl"
_COMMAND = re.compile(rf"\b{_PROGRAM} (?!itself)(?P<rest>[a-z][^`;]*?)(?=$|[`;])")
_COMMANDS: Mapping[str, str] = {
    "CreateWorkflow": "apply FILE",
    "UpdateWorkflow": "apply FILE",
    "PublishWorkflow": "publish {workflow_id}",
    "ActivateWorkflow": "activate {workflow_id}",
    "DeactivateWorkflow": "deactivate {workflow_id}",
    "ArchiveWorkflow": "archive {workflow_id}",
    "DeleteWorkflow": "delete {workflow_id}",
    "ListWorkflows": "list workflows",
    "ListExecutions": "list",
    "PauseExecution": "pause {execution_id}",
    "ResumeExecution": "resume {execution_id}",
    "CancelExecution": "cancel {execution_id}",
    "ReleaseExecution": "release {execution_id}",
}
"""The command for each method that a service names in the text of an error."""
_METHOD = re.compile(rf"(?P<call>\bcall )?\b(?P<name>{'|'.join(_COMMANDS)})\b")


def with_commands(text: str, metadata: Mapping[str, str]) -> str:
    """Return the text of a service with commands in place of its methods. Ids come from the metadata."""

    def command(match: re.Match[str]) -> str:
        named = {"workflow_id": "ID", "execution_id": "ID", **metadata}
        run = "run " if match["call"] else ""
        return f"{run}`{_PROGRAM} {_COMMANDS[match['name']].format_map(named)}`"

    return _METHOD.sub(command, text)


def as_typed(text: str, options: str = "") -> str:
    """Return the text with its commands as the user would type them, with the options of this call."""

    def typed(match: re.Match[str]) -> str:
        added = "" if "--offline" in match["rest"] else options
        return f"{_program()} {match['rest']}{added}"

    return _COMMAND.sub(typed, text)


def options_of(address: str, namespace: str) -> str:
    """Return the options that a further command needs to reach the same gateway and namespace.

    A value that the environment sets needs no option.
    """
    given = (
        ("--address", address, os.environ.get("WORKFLOW_GATEWAY") or DEFAULT_ADDRESS),
        ("--namespace", namespace, os.environ.get("WORKFLOW_NAMESPACE") or DEFAULT_NAMESPACE),
    )
    return "".join(f" {name} {shlex.quote(value)}" for name, value, known in given if value != known)


def _program() -> str:
    """Return the name if the shell finds the program, else the path that the user typed."""
    typed = sys.argv[0]
    return typed if Path(typed).name == _PROGRAM and shutil.which(_PROGRAM) is None else _PROGRAM
