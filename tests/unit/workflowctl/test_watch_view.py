"""What a person sees of an execution as it happens."""

from datetime import timedelta

from rich.console import Console
from workflowctl.presentation.event_lines import event_line
from workflowctl.presentation.watch_view import WatchView, summary, watch_view

from tests.unit.workflowctl.making import NOON, console, event, execution, update

FAILURE = {"type": "OSError", "message": "refused\nby the host", "attempt": 1}


def story() -> list[object]:
    return [
        execution(status="EXECUTION_STATUS_PENDING", task_counts={"total": 3}),
        event(2, "EXECUTION_STARTED", task_counts={"total": 3}),
        event(
            3,
            "TASK_STARTED",
            task_id="list_packages",
            attempt=1,
            worker_id="worker-1",
            task_counts={"total": 3, "running": 1},
        ),
        event(
            4,
            "TASK_SUCCEEDED",
            task_id="list_packages",
            attempt=1,
            worker_id="worker-1",
            task_counts={"total": 3, "succeeded": 1},
        ),
        event(5, "TASK_EXPANDED", task_id="count", item_count=2, task_counts={"total": 5, "succeeded": 1}),
        event(
            6,
            "TASK_STARTED",
            task_id="count",
            item=1,
            attempt=1,
            worker_id="worker-2",
            task_counts={"total": 5, "running": 1, "succeeded": 1},
        ),
        event(
            7,
            "TASK_RETRY_SCHEDULED",
            task_id="count",
            item=1,
            attempt=1,
            worker_id="worker-2",
            failure=FAILURE,
            next_attempt_time="2030-01-01T12:00:08.200Z",
            task_counts={"total": 5, "succeeded": 1},
        ),
        event(
            8,
            "TASK_REQUEUED",
            task_id="count",
            item=1,
            attempt=2,
            worker_id="worker-2",
            task_counts={"total": 5, "succeeded": 1},
        ),
        event(
            9,
            "EXECUTION_PAUSED",
            status="EXECUTION_STATUS_PAUSED",
            reason="lunch",
            task_counts={"total": 5, "succeeded": 1},
        ),
        event(10, "EXECUTION_RESUMED", task_counts={"total": 5, "succeeded": 1}),
        event(11, "TASK_SKIPPED", task_id="notify", task_counts={"total": 5, "succeeded": 3, "skipped": 1}),
        event(
            12,
            "TASK_FAILED",
            task_id="report",
            attempt=3,
            worker_id="worker-1",
            failure={**FAILURE, "message": ""},
            task_counts={"total": 5, "succeeded": 3, "failed": 1, "skipped": 1},
        ),
        event(
            13,
            "EXECUTION_FAILED",
            status="EXECUTION_STATUS_FAILED",
            final=True,
            task_counts={"total": 5, "succeeded": 3, "failed": 1, "skipped": 1},
        ),
    ]


def test_a_quarantine_and_its_release_have_a_line_each() -> None:
    screen = console(width=140)
    screen.print(event_line(event(3, "EXECUTION_QUARANTINED", reason="no definition"), screen))
    screen.print(event_line(event(4, "EXECUTION_RELEASED", reason="restored"), screen))
    first, second = screen.export_text().splitlines()

    assert 'until it is released or cancelled  "no definition"' in first
    assert 'released from quarantine: it continues  "restored"' in second


def told(screen: Console) -> str:
    with watch_view(screen) as view:
        for what in story():
            view.show(update(what))
    screen.print(summary(view, screen))
    return "\n".join(line.rstrip() for line in screen.export_text().splitlines())


PLAIN = """\
execution 01890a5d-ac96-774b-bcce-b302099a8057 of code-census v2  ○ Pending
12:00:02.000  ● Running  a worker claimed the first task  0/3
12:00:03.000  ▶ list_packages                started   #1  worker-1  0/3
12:00:04.000  ✔ list_packages                succeeded #1  worker-1  1/3
12:00:05.000  ⑂ count                        fans out  2 items  1/5
12:00:06.000  ▶ count[1]                     started   #1  worker-2  1/5
12:00:07.000  ↻ count[1]                     retries   #1  next in 1.2 s  worker-2  OSError: refused  1/5
12:00:08.000  ↻ count[1]                     requeued  #2  worker-2  1/5
12:00:09.000  ‖ Paused  no task starts  "lunch"  1/5
12:00:10.000  ● Running  continues  1/5
12:00:11.000  ↷ notify                       skipped     4/5
12:00:12.000  ✘ report                       failed    #3  worker-1  OSError  5/5
12:00:13.000  ✘ Failed  5/5
✘ Failed in 13 s  5 of 5 task runs ended"""


def test_a_log_has_a_line_per_event_with_the_counts() -> None:
    assert told(console()) == PLAIN


def test_a_terminal_with_ascii_only_gets_ascii_marks() -> None:
    text = told(console(encoding_utf8=False))

    assert text.isascii()
    assert "x report" in text


def test_a_terminal_shows_a_bar_below_the_lines() -> None:
    screen = console(terminal=True)
    view = WatchView(screen, on_terminal=True, now=lambda: NOON + timedelta(seconds=6))
    for what in story()[:6]:
        view.show(update(what))
    screen.print(view.footer())
    text = screen.export_text()

    assert "● Running ━━━━━━━━" in text
    assert "1/5 6.0 s 1 running" in text


def test_a_terminal_shows_no_bar_before_anything_is_known() -> None:
    screen = console(terminal=True)
    screen.print(WatchView(screen, on_terminal=True).footer())

    assert screen.export_text().strip() == ""


def test_a_terminals_bar_is_ascii_where_it_must_be() -> None:
    screen = console(terminal=True, encoding_utf8=False)
    view = WatchView(screen, on_terminal=True, now=lambda: NOON + timedelta(seconds=6))
    for what in story()[:6]:
        view.show(update(what))
    screen.print(view.footer())

    assert "########----" in screen.export_text()


def test_a_watch_that_begins_at_the_end_tells_it_all() -> None:
    screen = console()
    with watch_view(screen) as view:
        view.show(
            update(
                execution(
                    status="EXECUTION_STATUS_COMPLETED",
                    final=True,
                    end_time="2030-01-01T12:02:05Z",
                    task_counts={"total": 5, "succeeded": 5},
                )
            )
        )

    screen.print(summary(view, screen))

    assert "✔ Completed in 2 min 5 s  5 of 5 task runs ended" in screen.export_text()
    assert view.final


def test_markup_in_a_failure_is_text() -> None:
    screen = console()
    failure = {"type": "KeyError", "message": "[bold]x[/nonsense]"}
    with watch_view(screen) as view:
        view.show(update(event(2, "TASK_FAILED", task_id="a", failure=failure)))

    assert "KeyError: [bold]x[/nonsense]" in screen.export_text()


def test_an_event_of_a_later_version_is_shown_by_its_name() -> None:
    from workflow_sdk.models import Event
    from workflowsystem.execution.v1 import event_pb2

    message = event_pb2.ExecutionEvent(sequence=1, task_id="a")
    message.type = 99  # type: ignore[assignment]
    screen = console()
    with watch_view(screen) as view:
        view.show(update(Event.from_message(message)))
    assert "unknown" in screen.export_text()
