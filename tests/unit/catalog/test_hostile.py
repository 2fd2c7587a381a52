"""Definitions that are made to take long, or to take much memory, are answered in bounded time and memory."""

import json
import resource
import subprocess
import sys
import time
from typing import Any

import pytest
from workflow_catalog.domain.comparison import compare
from workflow_catalog.domain.validation import find_problems

MAX_SECONDS = 8.0
"""Of processor time. The worst of them take under a second on an idle core; tests run on busy ones."""
MAX_BYTES = 1024**3


def tasks(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": f"t{i}", "type": "shop.do", **fields} for i in range(count)]


def expression(text: str) -> dict[str, Any]:
    return {"tasks": tasks(1, input=f"${{{text}}}")}


def schema(value: Any) -> dict[str, Any]:
    return {"input_schema": value, "tasks": tasks(1)}


def inputs(template: str, count: int = 10) -> dict[str, Any]:
    """500 tasks with so many different expressions each."""
    each = tasks(500)
    for number, task in enumerate(each):
        task["input"] = [template.replace("#", str(number * count + i)) for i in range(count)]
    return {"tasks": each}


def nested_macros(depth: int) -> str:
    text = "input"
    for level in range(depth):
        text = f"[1, 2].map(x{level}, {text})"
    return text


def chain(length: int, keyword: str = "allOf") -> dict[str, Any]:
    """Definitions that each refer to the next one twice: 2^length checks."""
    links = {
        f"a{i}": {keyword: [{"$ref": f"#/$defs/a{i + 1}"}, {"$ref": f"#/$defs/a{i + 1}"}]}
        for i in range(length)
    }
    return {"$defs": {**links, f"a{length}": {"type": "string"}}, "$ref": "#/$defs/a0"}


def grid(size: int) -> dict[str, Any]:
    """Every definition refers to every one, under other keys."""
    definitions = {
        f"d{i}": {
            "properties": {f"p{j}": {"$ref": f"#/$defs/d{(i * 7 + j * 3) % size}"} for j in range(size)}
        }
        for i in range(size)
    }
    return {
        "$defs": definitions,
        "allOf": [{"$ref": name} for name in (f"#/$defs/d{i}" for i in range(size))],
    }


def unevaluated(depth: int) -> dict[str, Any]:
    """Each level looks at everything below it twice."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"allOf": [value], "unevaluatedProperties": False}
    return value


NODE = {"$ref": "#/$defs/n"}

BOMBS: dict[str, dict[str, Any]] = {
    "parentheses": expression("(" * 2000 + "1" + ")" * 2000),
    "lists": expression("[" * 2000 + "]" * 2000),
    "negations": expression("!" * 4000 + "true"),
    "a sum": expression("+".join(["1"] * 2000)),
    "conditionals": expression("true?1:" * 580 + "1"),
    "a path": expression("input" + ".a" * 2000),
    "loops in loops": expression(nested_macros(150)),
    "some loops in loops": expression(nested_macros(12)),
    "a pattern in a text": expression("input.a.matches('((a{1000}){1000}){1000}')"),
    "too many expressions": {"tasks": tasks(1, input=["${1}"] * 150_000)},
    "5,000 different expressions": inputs("${input.a# + #}"),
    "5,000 different loops": inputs("${input.l.map(x, x + #)}"),
    "5,000 names that are not there": inputs("${tasks.u#.output}"),
    "5,000 names that are nearly there": {
        **inputs("${input.nam#}"),
        "input_schema": {"properties": {f"name{i}": {} for i in range(4000)}},
    },
    "250,000 needs that are not there": {"tasks": tasks(500, needs=[f"x{i}" for i in range(500)])},
    "every task needs every task": {"tasks": tasks(500, needs=[f"t{i}" for i in range(500)])},
    "a chain of references": schema(chain(30)),
    "a long chain of references": schema(chain(5000)),
    "a chain of alternatives": schema(chain(30, "anyOf")),
    "a schema that is itself": schema({"$ref": "#"}),
    "two schemas that are each other": schema(
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    ),
    "a schema that doubles at each level": schema(
        {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"a": {"anyOf": [{"$ref": "#/$defs/n"}] * 2}}}}}
    ),
    "a schema that looks twice at each level": schema(unevaluated(12)),
    "a grid of schemas": schema(grid(60)),
    "20,000 properties": schema({"properties": {f"a{i}": {"type": "string"} for i in range(20_000)}}),
    "20,000 patterns": schema({"properties": {f"a{i}": {"pattern": rf"\w{{9}}{i}"} for i in range(20_000)}}),
    "a giant pattern": schema({"pattern": "a" * 900_000}),
    "a pattern of repetitions": schema({"pattern": "((((a{9}){9}){9}){9}){9}"}),
    "40,000 words": schema({"enum": [{"a": i} for i in range(40_000)]}),
    "100,000 fields that are no texts": schema({"required": [1] * 100_000}),
    "100,000 parts that are no schemas": schema({"allOf": [5] * 100_000}),
    "20,000 references that are not there": schema(
        {
            "$defs": {f"a{i}": {} for i in range(10_000)},
            "allOf": [{"$ref": f"#/$defs/b{i}"} for i in range(20_000)],
        }
    ),
    "lists that are compared with each item": schema({"items": {"enum": [[i] for i in range(40_000)]}}),
    "a list that is looked at again for each item": schema(
        {"unevaluatedItems": False, "anyOf": [{"contains": {"const": i}} for i in range(500)]}
    ),
    "500 schemas": {"tasks": tasks(500, output_schema={"properties": {"a": {"type": "integer"}}})},
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_answered_in_bounded_time(name: str) -> None:
    started = time.process_time()
    find_problems(BOMBS[name])

    assert time.process_time() - started < MAX_SECONDS


REFUSED = {
    "parentheses": "nested too deeply",
    "loops in loops": "nested too deeply",
    "too many expressions": "150,000 expressions, over the limit",
    "every task needs every task": "closes a cycle",
    "a chain of references": "has parts in parts",
    "a schema that is itself": "which never ends",
    "two schemas that are each other": "which never ends",
    "a schema that doubles at each level": "checks one value over",
    "a schema that looks twice at each level": "checks one value over",
    "20,000 properties": "too many parts",
    "20,000 patterns": "20,000 patterns, over the limit",
    "40,000 words": "steps for each byte",
    "lists that are compared with each item": "steps for each byte",
    "100,000 parts that are no schemas": "see JSON Schema 2020-12",
    "20,000 references that are not there": "is missing",
    "a giant pattern": "takes linear time and little memory",
    "a pattern of repetitions": "takes linear time and little memory",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bomb_is_refused_with_its_reason(name: str) -> None:
    assert any(REFUSED[name] in problem.description for problem in find_problems(BOMBS[name]))


@pytest.mark.parametrize(
    "value",
    [
        {
            "$ref": "#/$defs/n",
            "$defs": {"n": {"properties": {"l": {"$ref": "#/$defs/n"}, "r": {"$ref": "#/$defs/n"}}}},
        },
        {"properties": {"country": {"enum": [f"c{i}" for i in range(20_000)]}}},
        {"properties": {"size": {"enum": [{"width": i, "height": 2 * i} for i in range(200)]}}},
        {"patternProperties": {f"^x-{i}-[a-z]+$": {"type": "string"} for i in range(60)}},
        {"properties": {"country": {"oneOf": [{"const": f"c{i}"} for i in range(249)]}}},
        {"properties": {f"a{i}": {"type": "string"} for i in range(4000)}},
        chain(7),
        {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"a": NODE}, "additionalProperties": NODE}}},
    ],
    ids=[
        "a tree",
        "words",
        "sizes",
        "patterns of keys",
        "countries",
        "many properties",
        "a short chain",
        "a node",
    ],
)
def test_a_large_schema_that_is_none_is_fine(value: Any) -> None:
    assert find_problems(schema(value)) == ()


def test_a_comparison_of_large_schemas_takes_bounded_time() -> None:
    def nested(leaf: str) -> Any:
        value: Any = {"type": leaf}
        for _ in range(7):
            value = {"anyOf": [{"properties": {"a": value}}, {"properties": {"b": value}}]}
        return schema(value)

    def wide(leaf: str) -> Any:
        return schema({"properties": {f"a{i}": {"type": leaf} for i in range(4000)}})

    started = time.process_time()
    compare(nested("string"), nested("integer"))
    compare(wide("string"), wide("integer"))
    assert time.process_time() - started < MAX_SECONDS


def test_all_bombs_together_stay_within_a_gigabyte() -> None:
    """In a process that may not have more; what it would take without them is under 100 MiB."""
    code = "import json, sys\nfrom workflow_catalog.domain.validation import find_problems\n"
    code += "for line in sys.stdin: find_problems(json.loads(line))\n"
    bombs = "\n".join(map(json.dumps, BOMBS.values()))

    run = subprocess.run(
        [sys.executable, "-c", code],
        input=bombs,
        text=True,
        check=False,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES)),
    )

    assert (run.returncode, run.stderr) == (0, "")
