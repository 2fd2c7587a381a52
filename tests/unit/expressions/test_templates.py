"""Templates: what comes out of JSON that holds `${...}`."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workflow_expressions import (
    EvaluationError,
    ExpressionError,
    ExpressionLimitError,
    ExpressionSyntaxError,
    JsonValue,
    Names,
    Scope,
    UnknownNameError,
    check_template,
    compile_template,
)

INPUT: JsonValue = {
    "n": 5,
    "half": 5.5,
    "text": "hello",
    "empty": None,
    "items": [1, 2, {"deep": True}],
    "odd-key": "odd",
}
TASKS = {"fetch": {"output": {"pages": [1, 2]}, "status": "SUCCEEDED"}}
SCOPE = Scope(tasks={"fetch", "parse_pages"}, later_tasks={"report"}, in_fan_out=True)
BINDINGS: dict[str, Any] = {
    "input": INPUT,
    "tasks": TASKS,
    "execution": {"id": "e-1", "run_number": 1},
    "item": {"k": "v"},
    "index": 3,
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text().filter(lambda text: "${" not in text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def evaluate(template: JsonValue, **bindings: Any) -> JsonValue:
    return compile_template(template, scope=SCOPE).evaluate({**BINDINGS, **bindings})


@given(json_values)
def test_a_template_without_expressions_is_its_own_value(value: JsonValue) -> None:
    template = compile_template(value, scope=Scope())

    assert template.is_constant
    assert template.names == Names()
    assert template.evaluate({}) == value


@given(st.text())
def test_any_text_compiles_or_gives_an_expression_error(text: str) -> None:
    for candidate in (text, f"${{{text}}}", f"a ${{{text}"):
        with contextlib.suppress(ExpressionError):
            compile_template(candidate, scope=SCOPE).evaluate(BINDINGS)


PIECES = (
    "input .n .items .text [ ] ( ) { } : , + - * / == && || ! ? 'a' \" \\ r' // has( .map(x, x .exists(x, 1 "
    "2.5 tasks .fetch .output null true $ ${ [0] size( .? .orValue( item index 1u b'x' duration( '1s'"
)


@given(st.lists(st.sampled_from(PIECES.split()), max_size=12))
def test_any_pieces_of_cel_give_json_or_an_expression_error(pieces: list[str]) -> None:
    with contextlib.suppress(ExpressionError):
        json.dumps(evaluate(f"${{{' '.join(pieces)}}}"), allow_nan=False)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${input}", INPUT),
        ("${input.n}", 5),
        ("${input.n + 1}", 6),
        ("${input.half * 2.0}", 11.0),
        ("${input.n > 4.5}", True),
        ("${input.half > input.n}", True),
        ("${input['odd-key']}", "odd"),
        ("${input.items[2].deep}", True),
        ("${tasks.fetch.output.pages.map(p, p * 2)}", [2, 4]),
        ("${tasks.fetch.status == 'SUCCEEDED'}", True),
        ("${execution.id}", "e-1"),
        ("${item.k}", "v"),
        ("${index + 1}", 4),
        ("${input.?missing.orValue('default')}", "default"),
        ("${has(input.missing)}", False),
        ("${ {'a': [input.n, null]} }", {"a": [5, None]}),
        ("${'}'}", "}"),
        ("${\"}\" + r'\\}' + '''}'''}", "}\\}}"),
        ("${1 // a comment with }\n + 1}", 2),
        ("${duration('90s')}", "90s"),
        ("${timestamp('2024-01-01T00:00:00Z')}", "2024-01-01T00:00:00Z"),
        ("${b'abc'}", "YWJj"),
        ("${input.text.upperAscii()}", "HELLO"),
    ],
)
def test_one_expression_keeps_its_type(template: str, expected: JsonValue) -> None:
    value = evaluate(template)

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("n is ${input.n}", "n is 5"),
        ("${input.text}, ${input.text}!", "hello, hello!"),
        ("${input.items}\n", '[1,2,{"deep":true}]\n'),
        ("${input.empty} ${true}", "null true"),
        ("costs $5 and $${input.n}", "costs $5 and ${input.n}"),
        ("$$${x}", "$${x}"),
        ("$${a} ${input.n}", "${a} 5"),
    ],
)
def test_text_around_an_expression_interpolates(template: str, expected: str) -> None:
    assert evaluate(template) == expected


def test_expressions_may_stand_anywhere_in_lists_and_objects_but_not_in_keys() -> None:
    template: JsonValue = {"a": ["${input.n}", {"b": "x${index}"}], "${input.n}": None}
    assert evaluate(template) == {"a": [5, {"b": "x3"}], "${input.n}": None}


def test_names_say_what_must_be_bound() -> None:
    template = compile_template(
        ["${input.n}", "${tasks.fetch.output.map(input, input)}", "${tasks.parse_pages.status} ${item}"],
        scope=SCOPE,
    )

    assert template.names == Names(
        input=True, item=True, outputs=frozenset({"fetch"}), statuses=frozenset({"parse_pages"})
    )
    assert template.names.tasks == {"fetch", "parse_pages"}


def test_a_loop_variable_hides_a_root_and_a_leading_dot_shows_it_again() -> None:
    names = compile_template("${[1].map(input, input + 1)}", scope=SCOPE).names
    assert names == Names()
    names = compile_template("${[1].map(input, .input.n)}", scope=SCOPE).names

    assert names == Names(input=True)


def test_only_what_is_used_is_bound() -> None:
    """A value that CEL cannot take does no harm where nothing reads it."""
    assert evaluate("${input.n + 1}", input={"n": 1, "huge": object()}) == 2


def test_a_reference_gives_the_bound_value_itself() -> None:
    assert evaluate("${input.items}") is BINDINGS["input"]["items"]


@pytest.mark.parametrize(
    ("template", "kind", "message"),
    [
        ("${tasks.fetc.output}", UnknownNameError, "there is no task `fetc`, did you mean `fetch`"),
        (
            "${tasks.report.output}",
            UnknownNameError,
            "task `report` may not have ended when this runs: add it to `needs`",
        ),
        ("${fetch.output}", UnknownNameError, "did you mean `tasks.fetch.output`"),
        ("${inptu.n}", UnknownNameError, "did you mean `input`"),
        ("${tasks}", UnknownNameError, "name the task"),
        ("${tasks[input.text].output}", UnknownNameError, "name the task"),
        ("${tasks.fetch.result}", UnknownNameError, "a task has only `tasks.fetch.output`"),
        ("${execution.idd}", UnknownNameError, "did you mean `id`"),
        ("${google.protobuf.Duration{}}", ExpressionSyntaxError, "types cannot be built"),
        (
            "${sum([1])}",
            UnknownNameError,
            "there is no function `sum` in CEL: `size` counts; add up in a handler",
        ),
        ("${nope(1)}", UnknownNameError, "there is no function `nope`"),
        ("${input.n +}", ExpressionSyntaxError, "ends too early"),
        ("${1 + 'a'}", ExpressionSyntaxError, "does not take (int, string)"),
        ("${1 + 1.5}", ExpressionSyntaxError, "does not mix whole numbers and decimals"),
        ("${input.?n}", ExpressionSyntaxError, "`.orValue(...)`"),
        ("${input.n", ExpressionSyntaxError, "no closing `}`"),
        ("${'}", ExpressionSyntaxError, "no closing `}`"),
        ("${ }", ExpressionSyntaxError, "is empty"),
        ("${" + "(" * 64 + "1" + ")" * 64 + "}", ExpressionSyntaxError, "nested too deeply"),
        ("${" + "1" * 4097 + "}", ExpressionLimitError, "over the limit of 4096"),
    ],
)
def test_a_bad_expression_is_refused_with_the_next_step(
    template: str, kind: type[ExpressionError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        compile_template({"url": ["fine", template]}, scope=SCOPE)
    assert message in caught.value.message
    assert caught.value.path == ("url", 1)
    assert str(caught.value).startswith("url[1]: ")


@pytest.mark.parametrize("template", ["${item}", "${index}"])
def test_item_and_index_exist_only_in_a_fan_out(template: str) -> None:
    with pytest.raises(UnknownNameError, match="only in a task with `for_each`"):
        compile_template(template, scope=Scope())


def test_a_syntax_error_tells_the_position() -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        compile_template("${1 +\n 'a'}", scope=SCOPE)
    assert (caught.value.line, caught.value.column) == (1, 3)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, "NULL"),
        ([1], "LIST"),
        ("a ${input}", "STRING"),
        ({"a": "${input}"}, "MAP"),
        ("${input}", "DYN"),
        ("${input.items.map(x, x)}", "LIST"),
        ("${1 + 1}", "INT"),
    ],
)
def test_the_type_of_a_template_is_known_as_far_as_it_can_be(template: JsonValue, expected: str) -> None:
    assert compile_template(template, scope=SCOPE).result_type == expected


def test_all_problems_of_a_template_are_found_at_once() -> None:
    problems = check_template({"a": "${nope}", "b": ["${input}", "${1 +}"]}, scope=SCOPE).problems
    assert [problem.path for problem in problems] == [("a",), ("b", 1)]


def test_a_scope_without_task_ids_accepts_every_task_id() -> None:
    template = compile_template("${tasks.anything.output}", scope=Scope(tasks=None))
    assert template.names.outputs == {"anything"}


def test_a_template_deeper_than_the_limit_is_refused() -> None:
    value: JsonValue = "leaf"
    for _ in range(65):
        value = [value]

    with pytest.raises(ExpressionLimitError, match="more than 64 levels"):
        compile_template(value, scope=SCOPE)


def test_a_template_with_too_many_expressions_is_refused() -> None:
    with pytest.raises(ExpressionLimitError, match="more than 500 expressions"):
        compile_template(["${input}"] * 501, scope=SCOPE)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("${input.missing}", 'no key "missing"'),
        ("${input.missing + 1}", 'no key "missing"'),
        ("${input.items[9]}", "index 9 is out of range"),
        ("${input.items[9] + 1}", "index 9 is out of range"),
        ("${input.n.x}", "only an object has keys"),
        ("${input.n.x + 1}", "only an object has keys"),
        ("${input.half + 1}", "does not mix whole numbers and decimals"),
        ("${input.n / 0}", "division by zero"),
        ("${input.n ? 1 : 2}", "must be true or false"),
        ("${input.n.map(x, x)}", "only a list or an object has elements"),
        ("${1.0 / 0.0}", "is Infinity, which JSON does not have"),
        ("${type(1)}", "is not JSON"),
        ("${input.items.map(each, string(each))}", "`string` does not take (map)"),
        ("${'\\u0000'}", "NUL"),
        ("${input.text.matches('(')}", "invalid regular expression"),
    ],
)
def test_a_failed_evaluation_names_the_place_and_the_next_step(template: str, message: str) -> None:
    compiled = compile_template({"a": template}, scope=SCOPE)

    with pytest.raises(EvaluationError) as caught:
        compiled.evaluate(BINDINGS)
    assert message in caught.value.message
    assert caught.value.path == ("a",)
    assert caught.value.expression == template[2:-1]


@pytest.mark.parametrize("template", ["${input.n}", "${input.n + 1}"])
def test_a_name_that_was_not_bound_is_an_evaluation_error(template: str) -> None:
    with pytest.raises(EvaluationError, match="`input` has no value yet"):
        compile_template(template, scope=SCOPE).evaluate({})


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_a_text_that_cel_would_cut_off_is_refused(text: str) -> None:
    with pytest.raises(EvaluationError, match=r"NUL|surrogate"):
        evaluate("${input.text + '!'}", input={"text": text})


def test_a_text_that_only_looks_like_a_nul_passes() -> None:
    assert evaluate("${input.text + '!'}", input={"text": "\\u0000"}) == "\\u0000!"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("${input.n + 1}", "the result is 9007199254740993, beyond 2^53"),
        ({"a": ["${[input.n + 1]}"]}, "the result is 9007199254740993, beyond 2^53"),
        ('${{1: "a", "1": "b"}}', "the same string in JSON"),
        ('${{true: 1, "true": 2}}', "the same string in JSON"),
    ],
)
def test_a_result_that_would_change_or_lose_something_is_refused(template: Any, message: str) -> None:
    compiled = compile_template(template, scope=Scope())
    with pytest.raises(EvaluationError, match=re.escape(message)):
        compiled.evaluate({"input": {"n": 2**53}})


def test_a_large_integer_keeps_its_digits_in_a_text() -> None:
    compiled = compile_template(["id-${input.n + 1}", "${string(input.n + 1)}"], scope=Scope())
    assert compiled.evaluate({"input": {"n": 2**53}}) == ["id-9007199254740993", "9007199254740993"]
