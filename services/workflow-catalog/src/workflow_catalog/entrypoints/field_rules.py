"""The contract's rules of single fields, as problems of a definition that is only to be checked."""

from __future__ import annotations

from service_kit.request_check import find_violations
from workflowsystem.catalog.v1 import definition_pb2

from workflow_catalog.domain.problem import Problem


def broken_rules(definition: definition_pb2.WorkflowDefinition) -> list[Problem]:
    """What the contract's rules refuse, each with its path."""
    return [Problem(each.field, each.description) for each in find_violations(definition)]
