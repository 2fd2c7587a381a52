"""JSON Schemas (2020-12) of definitions, compiled under bounded rules: references elsewhere are never
followed, and regular expressions are matched in linear time.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NoReturn

import jsonschema_rs
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

MAX_VIOLATIONS = 20
MAX_PROBLEM_CHARACTERS = 500
"""Of one violation's sentence, which quotes the value that is wrong."""

Violation = tuple[str, str, str]
"""Where in the value (`input.order.total`), what is wrong, and by which rule (`properties/total/minimum`)."""


class Schema:
    """A compiled schema. Raises ValueError for one that is none."""

    def __init__(self, schema: Struct) -> None:
        self._validator = jsonschema_rs.Draft202012Validator(
            whole_numbers(MessageToDict(schema)),
            retriever=_refuse,
            pattern_options=jsonschema_rs.RegexOptions(),
        )

    def violations(self, value: Any, root: str) -> list[Violation]:
        """The first violations by a value, which is called `root`; none: it fits."""
        if self._validator.is_valid(value):
            return []
        errors = islice(self._validator.iter_errors(value), MAX_VIOLATIONS)
        return [
            (
                _path(root, error.instance_path),
                _cut(str(error.message)),
                "/".join(map(str, error.schema_path)),
            )
            for error in errors
        ]


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"the schema refers to {uri}, and schemas of other places are not read")


def whole_numbers(value: Any) -> Any:
    """JSON of a Struct, whose numbers are doubles: what is whole was an integer when its author wrote it."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if isinstance(value, list):
        return [whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {key: whole_numbers(each) for key, each in value.items()}
    return value


def _path(root: str, steps: Sequence[str | int]) -> str:
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _cut(text: str) -> str:
    """The beginning and the end, which says what is wrong: `<value> is longer than 5 characters`."""
    if len(text) <= MAX_PROBLEM_CHARACTERS:
        return text
    half = MAX_PROBLEM_CHARACTERS // 2
    return f"{text[:half]} ... {text[-half:]}"
