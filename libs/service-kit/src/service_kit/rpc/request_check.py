"""The checks of every request before its handler runs: it parses, its text can be stored, its rules hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import DecodeError, Message
from protovalidate import Validator

from service_kit.errors import (
    FIELD_INVALID,
    MAX_VIOLATIONS,
    PAYLOAD_INVALID,
    FieldViolation,
    ServiceError,
    invalid_argument,
)
from service_kit.rpc.time_check import find_bad_time
from service_kit.tools.heavy import LARGE_BYTES
from service_kit.tools.pattern_words import in_words
from service_kit.tools.payload_text import find_bad_text, may_hold_nul, without_payloads

_validator = Validator()


def parse(deserialize: Callable[[bytes], Any], wire_bytes: bytes) -> Any:
    """Read the message. Raise INVALID_ARGUMENT if it cannot be read. Do not check its text or its rules."""
    try:
        return deserialize(wire_bytes)
    except (DecodeError, UnicodeDecodeError, ValueError) as error:
        raise _unreadable(error) from None


def parse_and_check(deserialize: Callable[[bytes], Any], wire_bytes: bytes) -> Any:
    """Read the message and check it. Raise INVALID_ARGUMENT with every violated field.

    Raise protovalidate's CompilationError or EvaluationError if a rule itself is broken.
    """
    message = parse(deserialize, wire_bytes)
    if isinstance(message, Message):
        if may_hold_nul(wire_bytes):
            check_text(message)
        check_times(message)
        _check_rules(message if len(wire_bytes) <= LARGE_BYTES else without_payloads(message))
    return message


def check(message: Message) -> None:
    """Check a message as `parse_and_check` does, if it did not come over the wire (but from JSON, for
    example).
    """
    check_text(message)
    check_times(message)
    _check_rules(message)


def _check_rules(message: Message) -> None:
    if violations := _validator.collect_violations(message):
        raise _rules_broken(violations)


def find_violations(message: Message) -> list[FieldViolation]:
    """Return the fields that break a rule of the contract, for callers that report them in another form."""
    return [_violation(item) for item in _validator.collect_violations(message)][:MAX_VIOLATIONS]


def check_text(message: Message) -> None:
    """Raise INVALID_ARGUMENT if a string at any depth has a NUL, or a Struct is nested too deeply."""
    if (violation := find_bad_text(message)) is not None:
        sentence = f"{violation.field or 'the request'} {violation.description}"
        raise invalid_argument(violation.reason, sentence, violation)


def check_times(message: Message) -> None:
    """Raise INVALID_ARGUMENT if a Timestamp or a Duration at any depth is out of protobuf's range."""
    if (violation := find_bad_time(message)) is not None:
        sentence = f"{violation.field} {violation.description}"
        raise invalid_argument(violation.reason, sentence, violation)


def _unreadable(error: Exception) -> ServiceError:
    if "MaxDepth" in str(error) or "recursion" in str(error):
        message = "the request is nested too deeply: make the payload flatter"
        return invalid_argument(PAYLOAD_INVALID, message, FieldViolation("", "is nested too deeply"))
    message = "the request cannot be read: send protobuf of this service's contract, with text in UTF-8"
    return invalid_argument(PAYLOAD_INVALID, message, FieldViolation("", "is not this message"))


def _rules_broken(found: Iterable[Any]) -> ServiceError:
    violations = [_violation(item) for item in found]
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    message = f"{first.field or 'the request'}: {first.description}{more}; correct it and send it again"
    return invalid_argument(FIELD_INVALID, message, *violations[:MAX_VIOLATIONS])


def _violation(item: Any) -> FieldViolation:
    proto = item.proto
    path = field_path(proto.field.elements) if proto.field is not None else ""
    if proto.rule_id == "string.pattern":
        description = in_words(str(item.rule_value), str(item.field_value))
    else:
        description = proto.message or f"breaks the rule {proto.rule_id}"
    return FieldViolation(path, description, FIELD_INVALID)


def field_path(elements: Iterable[Any]) -> str:
    """Return protovalidate's path as people write it: `tasks[2].retry_policy.jitter`, `labels["team"]`."""
    path = ""
    for element in elements:
        path += ("." if path else "") + element.field_name
        subscript = element.subscript
        if subscript is not None:
            shown = f'"{subscript.value}"' if isinstance(subscript.value, str) else subscript.value
            path += f"[{shown}]"
    return path
