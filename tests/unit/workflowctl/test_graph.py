"""Graphs in the terminal: as they look, and that they say exactly what the tasks need."""

import random
import re

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from workflowctl.presentation.graph_tasks import CycleError, GraphTask, depth_first, graph_tasks, layers
from workflowctl.presentation.graph_terminal import graph_lines
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from tests.unit.workflowctl.graph_reading import Drawing
from tests.unit.workflowctl.making import console


def tasks_of(text: str) -> list[GraphTask]:
    """`a; b < a; c < a b`."""
    tasks = []
    for part in text.split(";"):
        id, _, needs = part.partition("<")
        tasks.append(GraphTask(id.strip(), needs=tuple(needs.split())))
    return tasks


def drawn(tasks: list[GraphTask], *, width: int = 100, utf8: bool = True) -> list[str]:
    lines = [line.plain for line in graph_lines("w", tasks, console(width=width, encoding_utf8=utf8))]
    return [line.rstrip() for line in lines[1:]]


def test_a_chain_goes_down() -> None:
    assert drawn(tasks_of("a; b < a; c < b")) == ["●  a", "│", "●  b", "│", "●  c"]


def test_a_diamond_fans_out_and_in() -> None:
    assert drawn(tasks_of("a; b < a; c < a; d < b c")) == [
        "●      a",
        "├─●─╮  b",
        "╰─●─┤  c",
        "●───╯  d",
    ]


def test_chains_side_by_side_have_lanes_of_their_own_and_lines_that_pass_are_not_joined() -> None:
    text = "a; b < a; c < a; b2 < b; c2 < c; d < b2 c2; e < b2"
    assert drawn(tasks_of(text)) == [
        "●      a",
        "├─●    b",
        "● │    c",
        "│ ●─╮  b2",
        "●─│─┤  c2",
        "  ● │  e",
        "●───╯  d",
    ]


def test_lines_into_a_task_are_drawn_apart_from_lines_out_of_it() -> None:
    assert drawn(tasks_of("a; b < a; c < a b; d < a b c; e < a b c d")) == [
        "●─┬─┬─╮  a",
        "│ │ │ │",
        "●─┼─┼─┤  b",
        "●─╯ │ │  c",
        "╰───┼─┤",
        "●───╯ │  d",
        "╰─────┤",
        "●─────╯  e",
    ]


def test_roots_join_and_a_task_alone_stays_alone() -> None:
    assert drawn(tasks_of("a; b; c < a b; d")) == ["●─╮  a", "●─┤  b", "● │  d", "●─╯  c"]


def test_a_terminal_with_ascii_only_gets_an_ascii_drawing() -> None:
    text = "a; b < a; c < a; b2 < b; c2 < c; d < b2 c2; e < b2"
    lines = drawn(tasks_of(text), utf8=False)

    assert lines[:3] == ["*      a", "+-*    b", "* |    c"]
    assert lines[-3:] == ["*-|-+  c2", "  * |  e", "*---'  d"]


GRAPHS = st.integers(1, 16).flatmap(
    lambda size: st.tuples(
        st.tuples(
            *(st.sets(st.integers(0, n - 1), max_size=3) if n else st.just(set()) for n in range(size))
        ),
        st.randoms(use_true_random=False),
    )
)


@given(GRAPHS)
def test_what_is_drawn_is_read_back_as_what_each_task_needs(
    graph: tuple[tuple[set[int], ...], random.Random],
) -> None:
    needs, shuffle = graph
    tasks = [GraphTask(f"t{n}", needs=tuple(f"t{m}" for m in sorted(of))) for n, of in enumerate(needs)]
    shuffle.shuffle(tasks)
    lines = drawn(tasks, width=200)

    assert Drawing(lines).needs == {task.id: set(task.needs) for task in tasks}


def random_graph(size: int, reach: int, seed: int) -> list[GraphTask]:
    generator = random.Random(seed)
    tasks = []
    for number in range(size):
        near = range(max(0, number - reach), number)
        needs = generator.sample(near, min(len(near), generator.choice((0, 1, 1, 2, 3))))
        tasks.append(GraphTask(f"t{number}", "some.type", tuple(f"t{need}" for need in needs)))
    return tasks


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("reach", [5, 40, 500])
def test_five_hundred_tasks_fit_the_width_and_no_need_is_lost(width: int, reach: int) -> None:
    tasks = random_graph(500, reach, seed=reach)
    lines = drawn(tasks, width=width)
    assert max(map(len, lines)) <= width
    told = [re.search(r"●[^t]*(t\d+) .*← (.*)", line) for line in lines]
    in_words = {match[1]: set(match[2].split(", ")) for match in told if match}
    in_lines = Drawing([line.split("←")[0] for line in lines if "had no room" not in line]).needs

    assert {**in_lines, **in_words} == {task.id: set(task.needs) for task in tasks}
    assert in_words.keys() != in_lines.keys()


def test_a_fan_out_of_hundreds_is_three_columns_wide() -> None:
    middle = [GraphTask(f"m{n}", needs=("a",)) for n in range(498)]
    tasks = [GraphTask("a"), *middle, GraphTask("z", needs=tuple(task.id for task in middle))]

    lines = drawn(tasks)

    assert (lines[0], lines[1], lines[-2], lines[-1]) == (
        "●      a",
        "├─●─╮  m0",
        "╰─●─┤  m497",
        "●───╯  z",
    )


def test_a_hundred_chains_are_drawn_one_after_the_other() -> None:
    tasks = [GraphTask("a")]
    for step in range(3):
        tasks += [GraphTask(f"c{n}_{step}", needs=(f"c{n}_{step - 1}" if step else "a",)) for n in range(100)]
    tasks.append(GraphTask("z", needs=tuple(f"c{n}_2" for n in range(100))))
    lines = drawn(tasks)

    assert not [line for line in lines if "←" in line]
    assert Drawing(lines).needs == {task.id: set(task.needs) for task in tasks}
    assert max(line.index(line.split()[-1]) for line in lines if "_" in line) < 10


def test_the_drawing_is_the_same_each_time_and_whatever_hash_seed() -> None:
    tasks = random_graph(60, 8, seed=4)
    assert drawn(tasks) == drawn(list(tasks))
    order = [task.id for layer in layers(tasks) for task in layer]

    assert order == [task.id for layer in layers(random_graph(60, 8, seed=4)) for task in layer]


def test_layers_are_as_deep_as_the_longest_way() -> None:
    found = layers(tasks_of("a; b < a; c < b; d < a c; e"))
    assert [sorted(task.id for task in layer) for layer in found] == [["a", "e"], ["b"], ["c"], ["d"]]


def test_within_a_layer_tasks_are_where_their_neighbours_are() -> None:
    found = layers(tasks_of("a; b; c; z < c; y < b; x < a"))
    assert [[task.id for task in layer] for layer in found] == [["a", "b", "c"], ["x", "y", "z"]]


def test_depth_first_ends_what_it_began() -> None:
    order = depth_first(tasks_of("a; b; a2 < a; b2 < b; c < a2 b2"))
    assert [task.id for task in order] == ["a", "a2", "b", "b2", "c"]


def test_a_circle_is_named() -> None:
    with pytest.raises(CycleError) as caught:
        layers(tasks_of("a; b < a d; c < b; d < c"))
    assert caught.value.ids in (("b", "c", "d", "b"), ("c", "d", "b", "c"), ("d", "b", "c", "d"))


def test_marks_say_fan_outs_conditions_children_and_what_is_missing() -> None:
    definition = json_format.ParseDict(
        {
            "tasks": [
                {"id": "a", "type": "x.a", "for_each": {"items": "${input.all}"}},
                {"id": "b", "type": "x.b", "for_each": {"items": [1, 2]}, "when": "${true}"},
                {"id": "c", "type": "workflow", "workflow": {"workflow_id": "other", "version": 2}},
                {"id": "d", "type": "x", "needs": ["nobody"], "when": "${\n  1 < 2}"},
                {"id": "a", "type": "second"},
            ]
        },
        WorkflowDefinition(),
    )

    lines = drawn(graph_tasks(definition))

    assert lines[:4] == [
        "◉  a  x.a       ×N ${input.all}",
        "◈  b  x.b       ×2  when ${true}",
        "●  c  workflow  runs other v2",
        "◆  d  x         when ${ 1 < 2}  needs missing tasks: nobody",
    ]
    assert "◉ once per item" in lines[-1]


def test_control_characters_are_not_printed_as_they_are() -> None:
    (line, *_) = drawn([GraphTask("a", "\x1b[31mred\x07", when="${'\u202e'}")])

    assert "\x1b" not in line
    assert "\\x1b[31mred\\x07" in line
    assert "\u202e" not in line


def test_long_names_do_not_push_the_drawing_over_the_edge() -> None:
    lines = drawn([GraphTask("a" * 63, "t" * 128), GraphTask("b", needs=("a" * 63,))], width=60)

    assert max(map(len, lines)) == 60
    assert lines[0].endswith("…")


def test_a_workflow_without_tasks_has_an_empty_drawing() -> None:
    assert drawn([]) == []
