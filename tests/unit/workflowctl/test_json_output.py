"""JSON for scripts has the numbers that the user wrote."""

import json

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from workflowctl.presentation.json_output import as_data


def shown(**input: object) -> str:
    struct = Struct()
    json_format.ParseDict(input, struct)
    return json.dumps(as_data(struct), sort_keys=True)  # a Struct has no order


def test_a_whole_number_has_no_point() -> None:
    assert shown(total=100, items=[{"n": -3}, 0]) == '{"items": [{"n": -3}, 0], "total": 100}'


def test_other_numbers_stay_as_they_are() -> None:
    assert shown(total=1.5, yes=True) == '{"total": 1.5, "yes": true}'


def test_a_number_that_may_have_been_rounded_is_not_shown_as_exact() -> None:
    assert shown(n=1e22) == '{"n": 1e+22}'
