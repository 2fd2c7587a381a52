"""Hypothesis strategies for definitions: most are nearly right, so that they reach every check."""

from typing import Any

from hypothesis import strategies as st
from workflow_expressions import EXECUTION_FIELDS

IDS = st.sampled_from(["a", "b", "c", "fetch_pages", "charge"])
TYPES = st.sampled_from(["noop", "sleep", "http.request", "shop.do", "workflow", "wait.timer", ""])
DURATIONS = st.sampled_from(
    ["0s", "0.001s", "1s", "61s", "301s", "86401s", "315576000000s", "-1s", "-315576000000s"]
)
WORDS = st.sampled_from(
    [
        "x",
        "",
        "${",
        "${}",
        "$${a}",
        "}",
        "é😀",
        "a b",
        "__proto__",
        "${input}",
        "${item}",
        "'",
        '"',
        "\\",
        "\n",
    ]
)
_NAMES = st.sampled_from(
    ["input", "input.n", "input.s.x", "input['l']", "input.l[0]", "item", "item.x", "index", "execution"]
    + [f"execution.{field}" for field in EXECUTION_FIELDS]
    + [
        f"tasks.{task}.{field}"
        for task in ("a", "b", "zz")
        for field in ("output", "status", "output.x", "nope")
    ]
    + [
        "1",
        "1.5",
        "'x'",
        "true",
        "null",
        "[1, 2]",
        "{'k': 1}",
        "nothing",
        "1u",
        "b'x'",
        "duration('1s')",
        "type(1)",
    ]
)
_EXPRESSIONS = st.recursive(
    _NAMES,
    lambda inner: st.one_of(
        st.tuples(
            inner, st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", "&&", "||", "in"]), inner
        ).map(" ".join),
        st.tuples(inner, inner, inner).map(lambda each: f"({each[0]} ? {each[1]} : {each[2]})"),
        inner.map(lambda each: f"has({each})"),
        inner.map(lambda each: f"size({each})"),
        inner.map(lambda each: f"!({each})"),
        inner.map(lambda each: f"[{each}].map(input, {each})"),
        st.tuples(inner, inner).map(lambda each: f"({each[0]}).filter(x, {each[1]})"),
        st.tuples(inner, inner).map(lambda each: f"({each[0]}).exists(item, {each[1]})"),
        inner.map(lambda each: f"({each}).?x.orValue({each})"),
        st.tuples(inner, inner).map(lambda each: f"({each[0]})[{each[1]}]"),
        inner.map(lambda each: f"({each}).matches('(a*)*')"),
    ),
    max_leaves=8,
)
TEXTS = (
    WORDS
    | _EXPRESSIONS.map(lambda each: f"${{{each}}}")
    | st.tuples(WORDS, _EXPRESSIONS).map(lambda each: f"{each[0]}${{{each[1]}}}")
    | st.text(max_size=8)
)
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, 1e300, 2**53, 1e21])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
_REFERENCES = st.sampled_from(
    ["#", "#/$defs/d", "#/$defs/e", "#/properties/n", "#/nope", "#x", "http://x/y", ""]
)
SCHEMAS = st.recursive(
    st.booleans()
    | st.fixed_dictionaries({}, optional={"type": st.sampled_from(["integer", "string", "list", 5])}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "integer", "string", "nope"])
            | st.just(["string", "null"]),
            "properties": st.dictionaries(st.sampled_from(["n", "s", "l", "x"]), inner, max_size=3)
            | st.just(5),
            "required": st.lists(st.sampled_from(["n", "s"]), max_size=2) | st.just("n"),
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(st.sampled_from(["a", "(", "(?=a)"]), inner, max_size=1),
            "items": inner,
            "prefixItems": st.lists(inner, max_size=2),
            "allOf": st.lists(inner, max_size=2),
            "anyOf": st.lists(inner, max_size=2),
            "if": inner,
            "not": inner,
            "enum": st.lists(JSON, max_size=2),
            "const": JSON,
            "minimum": NUMBERS,
            "pattern": st.sampled_from(["a", "(", r"\1", "(a{99}){99}"]),
            "multipleOf": NUMBERS,
            "$ref": _REFERENCES,
            "$dynamicRef": _REFERENCES,
            "$id": st.sampled_from(["x", "http://x/"]),
            "$defs": st.dictionaries(st.sampled_from(["d", "e"]), inner, max_size=2),
            "unevaluatedProperties": inner,
        },
    ),
    max_leaves=8,
)
OBJECT_SCHEMAS = SCHEMAS.filter(lambda each: isinstance(each, dict))

_TIMEOUTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("schedule_to_start", "start_to_close", "heartbeat"), DURATIONS)
)
_RETRY = st.fixed_dictionaries(
    {},
    optional={
        "initial_interval": DURATIONS,
        "backoff_coefficient": st.sampled_from([0, 1, 2.5, 1000]),
        "maximum_interval": DURATIONS,
        "maximum_attempts": st.integers(-1, 3),
        "jitter": st.sampled_from([-1, 0, 0.5, 2]),
        "non_retryable_error_types": st.lists(TEXTS, max_size=2),
        "maximum_lost_attempts": st.integers(-1, 2),
    },
)
_TASKS = st.fixed_dictionaries(
    {"id": IDS | TEXTS, "type": TYPES | TEXTS},
    optional={
        "needs": st.lists(IDS | TEXTS, max_size=3),
        "when": TEXTS,
        "input": JSON,
        "queue": TEXTS,
        "retry_policy": _RETRY,
        "timeouts": _TIMEOUTS,
        "for_each": st.fixed_dictionaries({}, optional={"items": JSON, "max_parallel": st.integers(-1, 2)}),
        "output_schema": OBJECT_SCHEMAS,
        "workflow": st.fixed_dictionaries(
            {},
            optional={
                "workflow_id": st.sampled_from(["orders", "nowhere", ""]),
                "version": st.integers(-1, 3),
            },
        ),
    },
)
DEFINITIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"tasks": st.lists(_TASKS, max_size=4)},
    optional={
        "description": TEXTS,
        "owner": TEXTS,
        "labels": st.dictionaries(TEXTS, TEXTS, max_size=2),
        "input_schema": OBJECT_SCHEMAS,
        "output": JSON,
        "execution_timeout": DURATIONS,
        "defaults": st.fixed_dictionaries(
            {}, optional={"retry_policy": _RETRY, "timeouts": _TIMEOUTS, "queue": TEXTS}
        ),
    },
)
