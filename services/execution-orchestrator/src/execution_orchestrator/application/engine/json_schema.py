"""JSON Schemas of definitions: small checks are made at once, large ones in a child process."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from workflow_contract.payloads import as_whole
from workflow_schemas import CompiledSchema, Violation
from workflow_schemas.limits import MAX_INLINE_SCHEMA_BYTES
from workflow_schemas.process import SchemaProcess


class Schema:
    """The schema of an input or an output. Raises ValueError if it is not valid.

    A large schema is not compiled here: it is only used by the child process, which says if it is not valid.
    """

    def __init__(self, schema: Struct, process: SchemaProcess) -> None:
        value = whole_numbers(MessageToDict(schema))
        self._text = json.dumps(value)
        small = len(self._text) <= MAX_INLINE_SCHEMA_BYTES
        self._compiled = CompiledSchema(value) if small else None
        self._process = process

    def check(self, value: Any, size_bytes: int, root: str) -> list[Violation] | None:
        """Return the violations of a value, which is called `root`; none if it fits.

        None if that may take over about 30 ms: call `check_elsewhere` on a thread.
        """
        if self._compiled is None or not self._compiled.is_quick(size_bytes):
            return None
        if self._compiled.fits(value):
            return []
        if not self._compiled.describes_quickly(size_bytes):
            return None
        return self._compiled.violations(value, size_bytes, root)

    def check_elsewhere(self, text: str, root: str) -> list[Violation]:
        """Do the same for a value as JSON, in the child process. Blocks the thread.

        Raises ValueError and CheckUnavailableError as `SchemaProcess.check` does.
        """
        return self._process.check(self._text, text, root)


def whole_numbers(value: Any) -> Any:
    """JSON of a Struct, whose numbers are doubles: what is whole was an integer when its author wrote it."""
    if isinstance(value, float):
        return as_whole(value)
    if isinstance(value, list):
        return [whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {key: whole_numbers(each) for key, each in value.items()}
    return value
