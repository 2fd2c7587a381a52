"""What a publish finds in sound expressions: values that are not there, words that never come, children."""

from typing import Any

import pytest
from workflow_catalog.domain.problem import Severity
from workflow_catalog.domain.validation import find_problems
from workflow_catalog.domain.validation.children import KnownWorkflow, Neighbours, child_ids
from workflow_catalog.domain.workflow import WorkflowStatus

INPUT = {
    "type": "object",
    "required": ["amount", "name", "tags", "kind", "address"],
    "additionalProperties": False,
    "properties": {
        "amount": {"type": "integer"},
        "ratio": {"type": "number"},
        "name": {"type": "string"},
        "note": {"type": "string"},
        "kind": {"enum": ["small", "large"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "address": {"$ref": "#/$defs/address"},
        "open": {"type": "object", "properties": {"colour": {"type": "string"}}},
        "either": {"type": ["string", "null"]},
    },
    "$defs": {
        "address": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    },
}
OUTPUT = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}


def task(task_id: str, *needs: str, **fields: Any) -> dict[str, Any]:
    return {"id": task_id, "type": "shop.do", "needs": list(needs), **fields}


def found(
    *tasks: dict[str, Any], around: Neighbours | None = None, **fields: Any
) -> list[tuple[str, str, str]]:
    definition = {"input_schema": INPUT, "tasks": list(tasks), **fields}
    problems = find_problems(definition, around or Neighbours("orders"))
    return [(problem.severity.lower(), problem.field, problem.description) for problem in problems]


def only(*tasks: dict[str, Any], **fields: Any) -> tuple[str, str, str]:
    (problem,) = found(*tasks, **fields)
    return problem


@pytest.mark.parametrize(
    ("text", "severity", "message"),
    [
        ("${input.amuont}", "error", "`input` has no `amuont` in `input_schema`: did you mean `amount`?"),
        ("${input.name + 1}", "error", "`+` does not take (string, int)"),
        ("${input.amount * 0.5}", "error", "CEL does not mix whole numbers and decimals"),
        ("${input.tags.map(t, t - 1)}", "error", "`-` does not take (string, int)"),
        ("${input.address.city.zip}", "error", "`input.address.city` is a string"),
        ("${input.kind == 'medium'}", "error", "never `medium`: it is one of large, small"),
        ("${input.kind in ['smal']}", "error", "did you mean `small`?"),
        ("${input.note + '!'}", "warning", "`input.note` may be absent"),
        ("${has(input.open) ? input.open.color : ''}", "warning", "did you mean `colour`?"),
        ("${execution.version + 'x'}", "error", "`+` does not take (int, string)"),
    ],
)
def test_values_are_what_the_input_schema_says(text: str, severity: str, message: str) -> None:
    problem = only(task("a", input={"x": [text]}))

    assert problem[:2] == (severity, "tasks[0].input.x[0]")
    assert message in problem[2]


@pytest.mark.parametrize(
    "text",
    [
        "${double(input.amount) * 0.5}",
        "${has(input.ratio) ? double(input.ratio) * 2.0 : 0.0}",
        "${has(input.note) ? input.note : 'none'}",
        "${has(input.open) && has(input.open.colour) ? input.open.colour : ''}",
        "${input.?either.orValue('') == null}",
        "${input.kind == 'small'}",
        "${input.tags[0] + input.name}",
    ],
)
def test_what_fits_the_schema_is_fine(text: str) -> None:
    assert found(task("a", input=text)) == []


def test_without_a_schema_any_name_may_be_there() -> None:
    assert find_problems({"tasks": [task("a", input="${input.anything.at.all + 1}")]}) == ()


def test_an_output_is_what_its_schema_says() -> None:
    fetch = task("fetch", output_schema=OUTPUT)
    assert found(fetch, task("b", "fetch", input="${tasks.fetch.output.total + 1}")) == []
    problem = only(fetch, task("b", "fetch", input="${tasks.fetch.output.total + 'x'}"))
    assert "`+` does not take (int, string)" in problem[2]
    problem = only(fetch, output="${tasks.fetch.output.totl}")

    assert problem[:2] == ("warning", "output")
    assert "not declared in `output_schema of fetch`: did you mean `total`?" in problem[2]


def test_a_broken_output_schema_is_told_once_and_claims_nothing() -> None:
    fetch = task("fetch", output_schema={"properties": 5})
    problem = only(fetch, task("b", "fetch", input="${tasks.fetch.output.total + 'x'}"))

    assert problem[:2] == ("error", "tasks[0].output_schema.properties")


def test_a_fan_out_gives_a_list_of_its_outputs() -> None:
    each = task("each", for_each={"items": "${input.tags}"}, output_schema=OUTPUT)
    assert found(each, output="${tasks.each.output.map(one, one.total + 1)}") == []
    problem = only(each, output="${tasks.each.output.total}")
    assert "`tasks.each.output` is a list: only an object has keys" in problem[2]
    problem = only(task("each", for_each={"items": "${input.tags}"}, input="${item + 1}"))

    assert "`+` does not take (string, int)" in problem[2]


def test_noop_gives_its_input_and_http_request_a_response() -> None:
    first = {"id": "first", "type": "noop", "input": {"n": "${input.amount}"}}
    problem = only(first, output="${tasks.first.output.m}")
    assert "`tasks.first.output` has no `m`: did you mean" in problem[2] or "there is `n`" in problem[2]
    call = {"id": "call", "type": "http.request", "input": {"url": "x"}}

    assert found(call, output="${tasks.call.output.status == 200}") == []
    assert "there is `body`" in only(call, output="${tasks.call.output.txt}")[2]


def test_the_output_of_a_task_that_may_be_skipped_may_be_null() -> None:
    maybe = task("maybe", when="${input.amount > 3}", output_schema=OUTPUT)
    problem = only(maybe, output="${tasks.maybe.output.total}")
    assert problem[0] == "warning"
    assert "`maybe` is skipped if its `when` is false; test `tasks.maybe.status` first" in problem[2]
    asked = "${tasks.maybe.status == 'SUCCEEDED' ? tasks.maybe.output.total : 0}"
    assert found(maybe, output=asked) == []

    behind = task(
        "b", "maybe", when="${tasks.maybe.status == 'SUCCEEDED'}", input="${tasks.maybe.output.total}"
    )

    assert found(maybe, behind) == []


@pytest.mark.parametrize(
    ("when", "severity", "message"),
    [
        ("${tasks.a.status == 'SUCEEDED'}", "error", "did you mean `SUCCEEDED`?"),
        ("${tasks.a.status == 'FAILED'}", "warning", "never `FAILED` here"),
        ("${tasks.a.status == 'SKIPPED'}", "warning", "never `SKIPPED` here"),
        ("${1 > 2}", "warning", "always false: this never runs"),
        ("${input.amount}", "error", "must give true or false, and this gives int"),
    ],
)
def test_a_condition_that_never_changes_is_told(when: str, severity: str, message: str) -> None:
    problem = only(task("a"), task("b", "a", when=when))

    assert problem[:2] == (severity, "tasks[1].when")
    assert message in problem[2]


def test_items_that_are_no_list_by_their_schema_are_told() -> None:
    problem = only(task("a", for_each={"items": "${input.name}"}))
    assert problem[:2] == ("error", "tasks[0].for_each.items")


def test_retries_that_never_come_have_no_policy() -> None:
    problem = only(task("a", retry_policy={"maximum_attempts": 1, "jitter": 0.5}))
    assert problem[:2] == ("warning", "tasks[0].retry_policy.jitter")


def test_errors_come_before_warnings() -> None:
    problems = found(task("a", input="${input.note}"), task("b", "nope"))
    assert [severity for severity, _, _ in problems] == ["error", "warning"]


@pytest.mark.parametrize("task_type", ["wait.timer", "wait.signal", "wait.approval", "wait.for.it"])
def test_the_engines_own_names_are_no_handlers(task_type: str) -> None:
    assert only({"id": "a", "type": task_type})[1] == "tasks[0].type"


def child(workflow_id: str = "refunds", **fields: Any) -> dict[str, Any]:
    return {"id": "c", "type": "workflow", "workflow": {"workflow_id": workflow_id, **fields}}


def known(status: str = "ACTIVE", last_version: int = 2, *children: str) -> KnownWorkflow:
    return KnownWorkflow(WorkflowStatus(status), last_version, frozenset(children))


@pytest.mark.parametrize(
    ("task", "around", "field", "message"),
    [
        (child(), {}, "workflow_id", "there is no workflow `refunds`: did you mean `refund`?"),
        (child("orders"), {}, "workflow_id", "is this workflow itself"),
        (child(), {"refunds": known("DRAFT", 0)}, "workflow_id", "is DRAFT, so it cannot start: publish it"),
        (child(), {"refunds": known("INACTIVE")}, "workflow_id", "activate it first"),
        (child(), {"refunds": known("ARCHIVED")}, "workflow_id", "use another workflow"),
        (child(version=3), {"refunds": known()}, "version", "has no version 3: the last is 2"),
        (
            child(),
            {"refunds": known("ACTIVE", 2, "mails"), "mails": known("ACTIVE", 1, "orders")},
            "workflow_id",
            "leads back to this workflow, orders -> refunds -> mails -> orders",
        ),
    ],
)
def test_a_child_must_be_able_to_start(task: Any, around: Any, field: str, message: str) -> None:
    problems = find_problems({"tasks": [task]}, Neighbours("orders", around, ["refund", "mails"]))
    error = problems[0]

    assert (error.severity, error.field) == (Severity.ERROR, f"tasks[0].workflow.{field}")
    assert message in error.description


def test_children_of_children_are_not_too_deep() -> None:
    def around(depth: int) -> Neighbours:
        chain = {f"w{i}": known("ACTIVE", 1, f"w{i + 1}") for i in range(depth)}
        return Neighbours("orders", {**chain, f"w{depth}": known()})

    assert [each.severity for each in find_problems({"tasks": [child("w0")]}, around(8))] == ["WARNING"]
    assert "over 10 levels" in find_problems({"tasks": [child("w0")]}, around(9))[0].description


def test_only_a_task_of_that_type_has_a_child() -> None:
    assert only(task("a", workflow={"workflow_id": "x"}))[1] == "tasks[0].workflow"
    assert only({"id": "a", "type": "workflow"})[1] == "tasks[0].workflow.workflow_id"
    assert child_ids({"tasks": [child(), task("a"), child("mails")]}) == {"refunds", "mails"}


def test_tasks_may_be_written_in_any_order() -> None:
    later = task("later", "fetch", input="${tasks.fetch.output.total + 'x'}")
    problem = only(later, task("fetch", output_schema=OUTPUT))

    assert problem[1] == "tasks[0].input"
    assert "`+` does not take (int, string)" in problem[2]


def test_a_fan_out_that_is_skipped_gives_the_empty_list() -> None:
    each = task("each", when="${input.amount > 3}", for_each={"items": "${input.tags}"})
    assert found(each, output="${tasks.each.output[0]}") == []


@pytest.mark.parametrize(
    ("schema", "text", "is_fine"),
    [
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, "${input.list[0] + 'x'}", True),
        ({"items": {"type": "integer"}}, "${input.list[0] + 'x'}", False),
        ({"items": {"$ref": "#/properties/list"}}, "${input.list[0][0][0] == []}", True),
    ],
)
def test_elements_are_what_items_says(schema: Any, text: str, is_fine: bool) -> None:
    of_lists = {"required": ["list"], "properties": {"list": {"type": "array", **schema}}}
    assert (find_problems({"input_schema": of_lists, "tasks": [task("a", input=text)]}) == ()) == is_fine


@pytest.mark.parametrize(
    ("schema", "severities"),
    [
        ({"additionalProperties": False}, ["ERROR"]),
        ({"additionalProperties": False, "allOf": [{"properties": {"totl": {}}}]}, ["ERROR"]),
        ({"additionalProperties": False, "patternProperties": {"^t": {}}}, ["WARNING"]),
        ({"additionalProperties": {"type": "string"}}, ["WARNING"]),
        ({"required": ["totl"]}, []),
        ({}, ["WARNING"]),
    ],
)
def test_a_key_that_is_not_declared_may_still_be_there(schema: Any, severities: list[str]) -> None:
    output = {"type": "object", "properties": {"total": {"type": "integer"}}, **schema}
    tasks = [task("fetch", output_schema=output)]
    problems = find_problems({"tasks": tasks, "output": "${tasks.fetch.output.totl}"})

    assert [problem.severity for problem in problems] == severities
