"""What differs, in lines."""

from google.protobuf import json_format
from workflowctl.presentation.definition_diff import change_lines, difference_head
from workflowsystem.catalog.v1.report_pb2 import WorkflowDifference

from tests.unit.workflowctl.making import console


def difference(*changes: dict[str, object], **fields: object) -> WorkflowDifference:
    return json_format.ParseDict({"base_version": 3, **fields, "changes": changes}, WorkflowDifference())


def lines(*changes: dict[str, object], utf8: bool = True) -> list[str]:
    screen = console(encoding_utf8=utf8)
    return [line.plain for line in change_lines(difference(*changes).changes, screen)]


def test_each_change_has_its_mark_and_its_values() -> None:
    assert lines(
        {"path": "description", "kind": 3, "before": "old", "after": "new"},
        {"path": "execution_timeout", "kind": 2, "before": "60s"},
        {"path": "tasks[a].needs", "kind": 1, "after": ["c"]},
        {"path": "tasks[b].retry_policy.maximum_attempts", "kind": 3, "before": 3, "after": 5},
    ) == [
        "  ~ description  old → new",
        "  - execution_timeout  was 60s",
        '  + tasks[a].needs  ["c"]',
        "  ~ tasks[b].retry_policy.maximum_attempts  3 → 5",
    ]


def test_a_whole_task_is_shown_by_its_type() -> None:
    task = {"id": "ship", "type": "orders.ship", "input": {"x": "y" * 500}}
    assert lines({"path": "tasks[ship]", "kind": 1, "after": task}) == ["  + tasks[ship]  orders.ship"]


def test_a_major_change_says_which_inputs_are_no_longer_accepted() -> None:
    assert lines(
        {
            "path": "input_schema.required",
            "kind": 3,
            "before": ["a"],
            "after": ["a", "b"],
            "change_class": "CHANGE_CLASS_MAJOR",
            "reason": "an input without `b` is no longer accepted",
        }
    ) == [
        '  ~ input_schema.required  ["a"] → ["a", "b"]',
        "    MAJOR: an input without `b` is no longer accepted",
    ]


def test_large_values_are_cut_and_those_that_were_not_sent_are_said_to_be() -> None:
    cut, unsent = lines(
        {"path": "description", "kind": 1, "after": "long\nlong " * 50},
        {"path": "input_schema", "kind": 3, "before": 1},
    )

    assert cut.endswith("…")
    assert len(cut) < 80
    assert unsent == "  ~ input_schema  1 → (too large to show)"


def test_a_terminal_with_ascii_only_gets_nothing_else() -> None:
    (line,) = lines({"path": "owner", "kind": 3, "before": "Zoë", "after": "Ada" * 40}, utf8=False)

    assert line.isascii()
    assert "-> Ada" in line


def test_the_head_says_the_class_and_what_it_means() -> None:
    minor = difference({"path": "tasks[a]", "kind": 1}, change_class="CHANGE_CLASS_MINOR")
    assert difference_head("orders", minor, "draft", console()).plain == (
        "orders  version 3 → draft  MINOR, 1 change: other work; every input that was accepted still is"
    )
    same = difference(change_class="CHANGE_CLASS_NONE")
    assert difference_head("orders", same, "version 4", console()).plain == (
        "orders  version 3 → version 4  nothing differs"
    )

    first = difference(base_version=0)

    assert "no version is active" in difference_head("orders", first, "draft", console()).plain
