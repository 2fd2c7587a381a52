"""Payloads: what can't be stored or read back is refused, and everything else is kept as it came."""

import pytest
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.payloads import checked, dump, problem_of
from google.protobuf import json_format, struct_pb2
from workflowsystem.execution.v1.execution_pb2 import Execution

ESCAPED = "\\" + "u"


def nested(levels: int, kind: str = "dict") -> str:
    before, after = ("[", "]") if kind == "list" else ('{"a":', "}")
    return before * levels + "1" + after * levels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("{'a': 1}", "is not JSON"),
        ('{"a": NaN}', "is NaN, which JSON does not have"),
        ("[-Infinity]", "is -Infinity, which JSON does not have"),
        ('{"a": 1e999}', "is 1e999, too large for a number"),
        ("[-1.0E+0400]", "is -1.0E+0400, too large for a number"),
        ("1" * 250 + "e99", "too large for a number"),
        ("9" * 400 + ".5", "too large for a number"),
        ('"\x00"', "is not JSON"),
        (f'"{ESCAPED}0000"', "contains a NUL character"),
        (f'{{"a\\\\{ESCAPED}0000": 1}}', "contains a NUL character"),
        (f'"{ESCAPED}d800"', "half of a surrogate pair"),
        (f'["{ESCAPED}dc00{ESCAPED}d800"]', "half of a surrogate pair"),
        ('"\udcff"', "half of a surrogate pair"),
        ("1" * 400, "too large for a number"),
        ('{"a": [1, 12345678901234567890]}', "a[1] is 12345678901234567890, beyond 2^53"),
        ("-9007199254740993", "beyond 2^53"),
        ('[{"a": 1, "b": 2, "a": 3}]', "[0] has the key 'a' twice"),
        (nested(33), "nested over 32 levels"),
        (nested(200, "list"), "nested over 32 levels"),
        (nested(100_000, "list"), "nested over 32 levels"),
    ],
)
def test_what_cannot_be_kept_is_refused(text: str, message: str) -> None:
    problem = problem_of(text, "the output")

    assert problem is not None
    assert (problem.type, problem.non_retryable) == ("PayloadInvalid", True)
    assert problem.message.startswith("the output")
    assert message in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "1.5e300",
        "1e-999",
        '"1e999"',
        "1e16",
        '"ünï → 😀"',
        f'"{ESCAPED}d83d{ESCAPED}de00"',
        f'"\\\\{ESCAPED[1:]}0000"',
        f'"the characters \\\\{ESCAPED[1:]}0000"',
        nested(32),
        nested(32, "list"),
        '"' + "[" * 5_000 + '"',
        "[" + ",".join(["[]"] * 5_000) + "]",
    ],
)
def test_what_can_be_kept_is_taken(text: str) -> None:
    assert problem_of(text, "the output") is None


@pytest.mark.parametrize(("character", "size_bytes"), [("x", 1), ("ü", 2), ("😀", 4)])
def test_the_limit_is_of_bytes(character: str, size_bytes: int) -> None:
    fits = (1024 * 1024 - 2) // size_bytes
    assert problem_of(f'"{character * fits}"', "the output") is None
    problem = problem_of(f'"{character * (fits + 1)}"', "the output")

    assert problem is not None
    assert problem.type == "PayloadTooLarge"
    assert "at most 1,048,576 are allowed" in problem.message


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_what_is_taken_can_be_read_back_through_the_api(kind: str) -> None:
    """protobuf refuses to parse messages within one another more than 100 deep."""
    value = json_format.Parse(nested(32, kind), struct_pb2.Value(), max_recursion_depth=1_000)
    execution = Execution()
    execution.tasks.add().output.CopyFrom(value)

    assert Execution.FromString(execution.SerializeToString()).tasks[0].output == value


def test_a_failure_survives_its_storage() -> None:
    failures = [
        Failure("Boom", "it broke"),
        Failure(
            "Boom", "", details="a\nb", non_retryable=True, task_id="t", item=0, attempt=3, retry_state="x"
        ),
    ]

    for failure in failures:
        assert Failure.from_json(failure.as_json()) == failure

    assert failures[0].as_json() == {"type": "Boom", "message": "it broke"}


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_json_does_not_have_is_never_written(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump({"deep": [number]})


def test_a_checked_payload_has_its_value_or_its_problem() -> None:
    fits = checked('{"a": 1.5}', "the output")
    assert (fits.value, fits.problem) == ({"a": 1.5}, None)
    broken = checked("{", "the output")

    assert broken.value is None
    assert broken.problem is not None
