"""Check a definition against the contract's rules of single fields. Return problems instead of an error."""

from __future__ import annotations

from service_kit.rpc.request_check import find_violations
from workflowsystem.catalog.v1 import definition_pb2

from workflow_catalog.domain.problem import Problem


def broken_rules(definition: definition_pb2.WorkflowDefinition) -> list[Problem]:
    """Return a problem, with its path, for each field that breaks a rule of the contract."""
    return [Problem(each.field, each.description) for each in find_violations(definition)]
