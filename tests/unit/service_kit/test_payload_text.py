"""Text that cannot be stored is found at any depth and named as the user wrote it."""

from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from service_kit.errors import ServiceError
from service_kit.rpc.request_check import check_text, parse
from service_kit.tools.payload_text import find_bad_text, may_hold_nul
from workflow_contract.limits import MAX_MESSAGE_DEPTH


def struct(value: dict[str, Any]) -> Struct:
    return json_format.ParseDict(value, Struct())


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"name": "a\0b"}, "name"),
        ({"items": [{"ok": "x"}, {"name": "\0"}]}, "items[1].name"),
        ({"a": {"b": [["\0"]]}}, "a.b[0][0]"),
        ({"a": {"k\0ey": 1}}, "a"),
    ],
)
def test_a_nul_in_a_struct_is_found_with_its_path(payload: dict[str, Any], path: str) -> None:
    violation = find_bad_text(struct(payload))

    assert violation is not None
    assert violation.field == path
    assert "NUL" in violation.description
    assert violation.reason == "PAYLOAD_INVALID"


def test_a_nul_in_a_plain_a_repeated_and_a_mapped_string_is_found_with_its_path() -> None:
    def found(message: Any) -> str:
        violation = find_bad_text(message)
        assert violation is not None
        assert violation.reason == "FIELD_INVALID"
        return violation.field

    assert found(status_pb2.Status(message="\0")) == "message"
    assert found(FileDescriptorProto(dependency=["a", "\0"])) == "dependency[1]"
    assert (
        found(FileDescriptorProto(message_type=[{"field": [{"name": "\0"}]}]))
        == "message_type[0].field[0].name"
    )
    assert found(error_details_pb2.ErrorInfo(metadata={"k": "\0"})) == "metadata.k"
    assert found(error_details_pb2.ErrorInfo(metadata={"\0": "v"})) == "metadata"


def test_half_of_a_surrogate_pair_never_gets_in() -> None:
    with pytest.raises(ServiceError, match="text in UTF-8"):
        parse(Value.FromString, b"\x1a\x03\xed\xa0\x80")
    with pytest.raises(UnicodeEncodeError):
        Value(string_value="a\ud800b")


def test_text_and_bytes_that_can_be_stored_pass() -> None:
    assert find_bad_text(struct({"ä": ["😀", 1.5, None, True, {"x": ""}]})) is None
    assert find_bad_text(Value()) is None
    assert find_bad_text(status_pb2.Status(details=[{"type_url": "t", "value": b"\0"}])) is None
    assert find_bad_text(FieldDescriptorProto(name="n")) is None


def nested_lists(levels: int) -> Value:
    outermost = value = Value()
    for _ in range(levels):
        value = value.list_value.values.add()
    value.number_value = 1
    return outermost


def test_a_payload_nested_too_deeply_is_refused() -> None:
    assert find_bad_text(nested_lists(MAX_MESSAGE_DEPTH - 1)) is None
    violation = find_bad_text(nested_lists(MAX_MESSAGE_DEPTH + 1))

    assert violation is not None
    assert "100 levels" in violation.description


def test_nesting_that_the_parser_refuses_is_told_as_nesting() -> None:
    wire_bytes = nested_lists(40).SerializeToString()
    for _ in range(20):
        wire_bytes = b"\x0a" + varint(len(wire_bytes)) + wire_bytes  # ListValue.values
        wire_bytes = b"\x32" + varint(len(wire_bytes)) + wire_bytes  # Value.list_value

    with pytest.raises(ServiceError, match="nested too deeply"):
        parse(Value.FromString, wire_bytes)


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])


@given(
    st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
)
def test_the_quick_look_at_the_bytes_never_misses_a_nul(value: Any) -> None:
    message = json_format.ParseDict(value, Value())
    if not may_hold_nul(message.SerializeToString()):
        assert find_bad_text(message) is None


def test_the_error_names_the_field_in_its_sentence() -> None:
    with pytest.raises(ServiceError, match=r"a\[0\] contains a NUL character: remove it"):
        check_text(struct({"a": ["\0"]}))
