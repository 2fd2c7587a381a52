"""Definitions of every kind, nasty ones too, for property tests."""

from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from hypothesis import strategies as st
from workflow_contract.payloads import may_be_rounded
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

NASTY_TEXTS = (
    *(
        "",
        " ",
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "N",
        "null",
        "~",
        "true",
        "12:30",
        "1:20:30",
        "2024-01-01",
        "0777",
    ),
    *(
        "0o17",
        "0x1F",
        "0b1",
        "1_000",
        "1e3",
        ".5",
        "1.",
        "-.inf",
        ".NaN",
        "+1",
        "=",
        "<<",
        "- a",
        "? a",
        "a: b",
    ),
    *(
        "a #b",
        "#a",
        "a:",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a`",
        "---",
        "...",
        "--- a",
        '"',
        "'",
        "\\",
    ),
    *(
        "\t",
        "a\tb",
        "a\t\nb",
        " a",
        "a ",
        "a\n",
        "a\n\n",
        "\na",
        " a\nb",
        "a \nb",
        "a\n b",
        "a\n\n\nb",
        "\n",
        "\n\n",
    ),
    *(
        "a\r\nb",
        "a\rb",
        "a\u0085b",
        '"\u0085',
        "\\\u2028",
        "a\u2028b",
        "\ufeffa",
        "\x7f",
        "\x1b[0m",
        "\u200d",
        "\U0010ffff",
        "😀",
        "\ufffe",
    ),
    *("${input.a}", "${a ? b : c}", "${ {'a': 1} }", "$${", "x ${input.a} y", "${\"a\" + 'b'}", "{a}", "[a]"),
    *(
        "a" * 90,
        "a: " * 40,
        "# " * 50,
        "é" * 200,
        "# a\n# b\n",
        "---\na",
        "...\n",
        "a\n---\nb",
        "key: |\n  text\n",
    ),
    *("\t a\nb", "a\n\tb", "a\nb: c\n- d", "2024-01-01T00:00:00Z", "1" * 30, "\xa0a", "a\xa0", "a,b", "a, b"),
)
NUMBERS = (
    0,
    -0.0,
    0.1,
    3.0,
    -1,
    1e300,
    5e-324,
    -1e21,
    1e22,
    2**53,
    2**53 - 1,
    -(2.0**53),
    1e23,
    1.5e-7,
    100,
)

texts = st.one_of(
    st.sampled_from(NASTY_TEXTS),
    st.lists(st.sampled_from(NASTY_TEXTS), max_size=3).map("\n".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40),
    st.text("ab:#-?'\"\\ \n\t${}[],&*!|>%@`0", max_size=12),
)
numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.floats(allow_nan=False, allow_infinity=False).map(
        lambda number: number * 1e10 if may_be_rounded(number) else number
    ),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
structs = st.dictionaries(texts, values, max_size=4)
durations = st.builds(
    Duration,
    seconds=st.one_of(st.integers(0, 200), st.integers(0, 315_576_000_000)),
    nanos=st.one_of(
        st.just(0), st.integers(0, 999_999_999), st.integers(0, 999).map(lambda ms: ms * 1_000_000)
    ),
).map(lambda duration: duration.ToJsonString())


def record(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object, each of whose fields may be left out."""
    return st.fixed_dictionaries({}, optional=fields)


retry_policies = record(
    initial_interval=durations,
    backoff_coefficient=numbers,
    maximum_interval=durations,
    maximum_attempts=st.integers(0, 1_000),
    jitter=numbers,
    non_retryable_error_types=st.lists(texts, max_size=4),
    maximum_lost_attempts=st.integers(0, 1_000),
)
timeouts = record(schedule_to_start=durations, start_to_close=durations, heartbeat=durations)
tasks = record(
    id=texts,
    type=texts,
    needs=st.lists(st.one_of(texts, st.just("charge_the_card")), max_size=6),
    when=texts,
    input=values,
    queue=texts,
    retry_policy=retry_policies,
    timeouts=timeouts,
    for_each=record(items=values, max_parallel=st.integers(0, 10_000)),
    output_schema=structs,
    workflow=record(workflow_id=texts, version=st.integers(0, 2**31 - 1)),
)
definitions = record(
    description=texts,
    labels=st.dictionaries(texts, texts, max_size=3),
    owner=texts,
    input_schema=structs,
    output=values,
    execution_timeout=durations,
    defaults=record(retry_policy=retry_policies, timeouts=timeouts, queue=texts),
    tasks=st.lists(tasks, max_size=3),
)


def message(definition: dict[str, Any]) -> WorkflowDefinition:
    """The definition as the contract has it."""
    return json_format.ParseDict(definition, WorkflowDefinition())
