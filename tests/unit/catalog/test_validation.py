"""What a publish checks."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workflow_catalog.domain.validation import find_problems
from workflow_catalog.domain.validation.graph import TaskGraph


def task(task_id: str, *needs: str, **fields: Any) -> dict[str, Any]:
    return {"id": task_id, "type": "shop.do", "needs": list(needs), **fields}


def problems_of(*tasks: dict[str, Any], **fields: Any) -> dict[str, str]:
    return {problem.field: problem.description for problem in find_problems({"tasks": list(tasks), **fields})}


def test_a_sound_definition_has_no_problem() -> None:
    assert (
        problems_of(
            task("list_packages", input={"path": "${input.path}"}),
            task(
                "measure",
                "list_packages",
                for_each={"items": "${tasks.list_packages.output.packages}", "max_parallel": 8},
                input={"package": "${item.name}", "position": "${index}"},
                when="${size(tasks.list_packages.output.packages) > 0}",
                timeouts={"start_to_close": "600s", "heartbeat": "30s"},
                retry_policy={"initial_interval": "0.1s", "maximum_interval": "1s"},
            ),
            task("report", "measure", input="${tasks.measure.output.map(each, each.lines)}"),
            input_schema={"type": "object", "required": ["path"], "properties": {"path": {"type": "string"}}},
            output={"report": "${tasks.report.output}", "first": "${tasks.list_packages.status}"},
            execution_timeout="3600s",
        )
        == {}
    )


def test_a_workflow_has_a_task() -> None:
    assert problems_of() == {"tasks": "has 0 tasks: a workflow has 1 to 500"}


def test_a_task_has_an_id_and_a_type_of_its_own() -> None:
    assert problems_of(task("a"), {"needs": ["a"]}, task("a")) == {
        "tasks[1].id": "is missing: give the task a name, such as `fetch_pages`",
        "tasks[1].type": "is missing: name the handler that runs it, such as `http.request`",
        "tasks[2].id": "`a` is already the id of tasks[0]: give each task its own",
    }


def test_a_need_names_a_task_and_is_told_what_was_meant() -> None:
    assert problems_of(task("fetch_pages"), task("b", "fetch_page", "zzz", "fetch_pages", "fetch_pages")) == {
        "tasks[1].needs[0]": "`fetch_page` names no task: did you mean `fetch_pages`?",
        "tasks[1].needs[1]": "`zzz` names no task: add the task, or remove the need",
        "tasks[1].needs[3]": "`fetch_pages` is needed twice: remove one",
    }


def test_a_cycle_is_named_as_a_path() -> None:
    problems = problems_of(task("start"), task("a", "start", "c"), task("b", "a"), task("c", "b"))
    ((field, description),) = problems.items()
    path = description.split("closes a cycle, ")[1].split(", in which")[0].split(" -> ")
    assert field.startswith("tasks[")
    assert path[0] == path[-1]
    assert set(path) == {"a", "b", "c"}
    needs = {"a": ["start", "c"], "b": ["a"], "c": ["b"]}

    assert all(earlier in needs[later] for earlier, later in itertools.pairwise(path))


def test_a_task_that_needs_itself_is_a_cycle() -> None:
    assert "a -> a" in problems_of(task("a", "a"))["tasks[0].needs"]


def test_two_cycles_are_both_told() -> None:
    problems = problems_of(task("a", "b"), task("b", "a"), task("c", "d"), task("d", "c"))
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("when", "${input.n > }", "correct the expression"),
        ("when", "yes", "a condition is one `${...}`"),
        ("when", "${1 + 1}", "must give true or false"),
        ("when", "${item.ok}", "only in a task with `for_each`"),
        ("input", "${tasks.late.output}", "task `late` may not have ended when this runs: add it to `needs`"),
        ("input", "${tasks.erly.output}", "there is no task `erly`, did you mean `early`?"),
        ("input", "${tasks.mid.output}", "add it to `needs`"),
        ("input", "${inputs.n}", "did you mean `input`?"),
        ("input", "${item}", "only in a task with `for_each`"),
    ],
)
def test_an_expression_uses_only_what_exists_where_it_stands(field: str, value: str, message: str) -> None:
    problems = problems_of(task("early"), task("mid", "early", **{field: value}), task("late", "mid"))

    assert list(problems) == [f"tasks[1].{field}"]
    assert message in problems[f"tasks[1].{field}"]


def test_upstream_is_everything_before_not_only_the_direct_needs() -> None:
    assert problems_of(task("a"), task("b", "a"), task("c", "b", input="${tasks.a.output}")) == {}


def test_a_problem_within_an_input_has_its_path() -> None:
    problems = problems_of(task("a", input={"urls": ["ok", "${nope}"], "odd key": "${nope}"}))
    assert list(problems) == ["tasks[0].input.urls[1]", "tasks[0].input['odd key']"]


def test_the_output_may_use_every_task() -> None:
    problems = problems_of(task("a"), task("b"), output=["${tasks.a.output}", "${tasks.c.output}"])
    assert list(problems) == ["output[1]"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("${1 + 1}", "must be a list"),
        ("pages", "must be a list"),
        ({"a": 1}, "must be a list"),
        ("x ${input}", "must be a list"),
        ("${item}", "only in a task with `for_each`"),
        ([0] * 10_001, "has 10,001 items, over the limit of 10,000"),
    ],
)
def test_the_items_of_a_fan_out_are_a_list(items: Any, message: str) -> None:
    problems = problems_of(task("a", for_each={"items": items}))
    assert message in problems["tasks[0].for_each.items"]


@pytest.mark.parametrize("items", [[], ["${input.a}", 2], "${input.pages}", "${input.pages.filter(p, p.ok)}"])
def test_a_list_or_an_expression_that_may_give_one_is_fine(items: Any) -> None:
    assert problems_of(task("a", for_each={"items": items})) == {}


@pytest.mark.parametrize(
    ("schema", "field", "message"),
    [
        ({"type": "objct"}, "input_schema.type", "see JSON Schema 2020-12"),
        ({"properties": {"a": {"minimum": "x"}}}, "input_schema.properties.a.minimum", "not of type"),
        ({"$ref": "http://example.com/schema"}, "input_schema.$ref", "refers to another document"),
        ({"$ref": "file:///etc/passwd"}, "input_schema.$ref", "refers to another document"),
        ({"$ref": "#/$defs/nope"}, "input_schema.$ref", "`#/$defs/nope` is missing: put it under `$defs`"),
        (
            {"$ref": "#/$defs/adress", "$defs": {"address": {}}},
            "input_schema.$ref",
            "did you mean `#/$defs/address`?",
        ),
        ({"$dynamicRef": "#a"}, "input_schema.$dynamicRef", "refer to a part by its place"),
        ({"properties": {"a": {"$id": "b"}}}, "input_schema.properties.a.$id", "only allowed at the top"),
        ({"pattern": "(a{99}){99}"}, "input_schema.pattern", "no large repetitions"),
        ({"pattern": "("}, "input_schema.pattern", "regex"),
        ({"pattern": "(?=a)b"}, "input_schema.pattern", "look-around"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "input_schema.$schema", "another dialect"),
    ],
)
def test_a_bad_input_schema_is_refused(schema: Any, field: str, message: str) -> None:
    problems = problems_of(task("a"), input_schema=schema)

    assert list(problems) == [field]
    assert message in problems[field]


def test_a_reference_to_a_file_is_never_followed(tmp_path: Path) -> None:
    """Also where the file is there, and is a schema."""
    file = tmp_path / "schema.json"
    file.write_text('{"type": "object"}')
    problems = problems_of(task("a"), input_schema={"$ref": file.as_uri()})

    assert "refers to another document" in problems["input_schema.$ref"]


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({"timeouts": {"start_to_close": "301s"}}, "tasks[0].timeouts.heartbeat"),
        ({"timeouts": {"start_to_close": "60s", "heartbeat": "61s"}}, "tasks[0].timeouts.heartbeat"),
        (
            {"timeouts": {"start_to_close": "86401s", "heartbeat": "9s"}},
            "tasks[0].timeouts.start_to_close",
        ),
        (
            {"retry_policy": {"initial_interval": "2s", "maximum_interval": "1s"}},
            "tasks[0].retry_policy.initial_interval",
        ),
        ({"retry_policy": {"initial_interval": "61s"}}, "tasks[0].retry_policy.initial_interval"),
    ],
)
def test_times_that_do_not_fit_together_are_told(definition: Any, field: str) -> None:
    assert list(problems_of(task("a", **definition))) == [field]


@pytest.mark.parametrize(
    "definition",
    [
        {"timeouts": {"start_to_close": "300s"}},
        {"timeouts": {"start_to_close": "301s", "heartbeat": "10s"}},
        {"timeouts": {}, "retry_policy": {"maximum_interval": "0.5s"}},
    ],
)
def test_times_that_fit_are_fine(definition: Any) -> None:
    assert problems_of(task("a", **definition)) == {}


def test_defaults_count_for_tasks_and_are_checked_themselves() -> None:
    defaults = {"timeouts": {"start_to_close": "600s"}, "retry_policy": {"initial_interval": "90s"}}
    assert list(problems_of(task("a"), defaults=defaults)) == [
        "defaults.retry_policy.initial_interval",
        "tasks[0].timeouts.heartbeat",
    ]
    defaults["timeouts"]["heartbeat"] = "10s"
    del defaults["retry_policy"]

    assert problems_of(task("a"), defaults=defaults) == {}


def test_all_problems_come_back_at_once_in_the_order_of_the_definition() -> None:
    problems = problems_of(
        task("a", "nope", when="${x}"),
        task("a"),
        output="${y}",
        input_schema={"type": 1},
        execution_timeout="1s",
    )
    assert list(problems) == [
        "input_schema.type",
        "output",
        "tasks[0].needs[0]",
        "tasks[0].when",
        "tasks[1].id",
    ]


def test_at_most_100_problems_are_told() -> None:
    assert len(find_problems({"tasks": [task(f"t{i}", "nope") for i in range(400)]})) == 100


def test_the_largest_graph_is_checked_in_bounded_time() -> None:
    """500 tasks, each needing all before it: 125,000 edges."""
    ids = [f"t{i}" for i in range(500)]
    tasks = [
        task(each, *ids[:i], input=f"${{tasks.{ids[0]}.output}}" if i else None) for i, each in enumerate(ids)
    ]
    started = time.perf_counter()

    assert find_problems({"tasks": tasks}) == ()
    assert time.perf_counter() - started < 5


@given(st.data())
def test_upstream_is_the_transitive_closure_of_needs(data: st.DataObject) -> None:
    """Against the plain definition, on random graphs without cycles."""
    count = data.draw(st.integers(1, 12))
    ids = data.draw(st.permutations([f"t{i}" for i in range(count)]))
    needs = {
        each: data.draw(st.lists(st.sampled_from(ids[:i]), unique=True)) if i else []
        for i, each in enumerate(ids)
    }
    tasks = data.draw(st.permutations([task(each, *needs[each]) for each in ids]))
    graph = TaskGraph(tasks)

    def closure(task_id: str) -> set[str]:
        return set(needs[task_id]).union(*map(closure, needs[task_id]))

    assert not graph.cycles
    assert {each: graph.upstream(each) for each in ids} == {each: closure(each) for each in ids}


@given(st.integers(1, 10), st.data())
def test_a_graph_with_a_cycle_is_always_found_out(length: int, data: st.DataObject) -> None:
    """A ring among other tasks, in any order: a path that really is a cycle is told."""
    ring = [task(f"r{i}", f"r{(i + 1) % length}") for i in range(length)]
    others = [task(f"o{i}", data.draw(st.sampled_from(ring))["id"]) for i in range(3)]
    tasks = data.draw(st.permutations([*ring, *others]))
    needs = {each["id"]: each["needs"] for each in tasks}
    cycles = TaskGraph(tasks).cycles
    assert len(cycles) == 1
    (cycle,) = cycles

    assert cycle[0] == cycle[-1]
    assert all(earlier in needs[later] for earlier, later in itertools.pairwise(cycle))
