"""JSON Schemas of workflow definitions, checked in bounded time and memory.

Import `workflow_schemas.process` to check in a child process. The other modules do no I/O.
"""

from workflow_schemas.compiled import CompiledSchema, Violation
from workflow_schemas.cost import Cost, TooCostlyError, cost_of
from workflow_schemas.references import ANNOTATIONS, Path, resolve, subschemas, target

__all__ = [
    "ANNOTATIONS",
    "CompiledSchema",
    "Cost",
    "Path",
    "TooCostlyError",
    "Violation",
    "cost_of",
    "resolve",
    "subschemas",
    "target",
]
