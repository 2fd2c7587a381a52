"""The conformance test of workers: our worker passes it, and each mistake of another one is named."""

import sys
from pathlib import Path

import pytest

from tools.conformance.__main__ import check, main
from tools.conformance.rules import RULES

NAMED = {rule.__name__: rule for rule in RULES}
OURS = f"{sys.executable} -m examples.conformance.worker"
SMALL = f"{sys.executable} -m tests.conformance.small_worker"

MISTAKES = [
    ("forgets a type", "hello_names_the_handlers", "Hello names every task type"),
    ("grants too much", "hello_names_the_handlers", "credits and tasks in hand are at most the slots"),
    ("returns null", "outputs_come_back", "an echo returns its input"),
    ("loses the token", "outputs_come_back", "carries the TaskRef of its lease unchanged"),
    ("hides types of failures", "failures_have_a_type", "the handler's type and message"),
    ("tires", "every_slot_is_used", "every leased task has a result"),
    ("never renews", "leases_are_renewed", "renews each lease every third of its TTL"),
    ("hides signs of life", "handlers_show_that_they_live", "signs of life are sent"),
    ("ignores cancels", "a_cancelled_task_stops", "stops within its grace"),
    ("reports what was revoked", "a_revoked_task_stops_silently", "nothing is reported of a revoked task"),
    ("keeps a credit", "a_stale_task_stops_silently", "grants a credit anew"),
    ("changes its boot id", "a_broken_stream_is_opened_again", "a process keeps its boot_id"),
    ("forgets what it has in hand", "a_broken_stream_is_opened_again", "at most the slots"),
    ("forgets results", "results_without_an_answer_are_sent_again", "is sent again on the next stream"),
    ("sends too much", "messages_keep_their_size", "larger than Welcome.maximum_message_bytes"),
    ("is silent without tasks", "a_worker_without_tasks_sends_heartbeats", "should send heartbeats"),
    ("fears unknown answers", "an_unknown_answer_drops_the_result", "status it does not know"),
    ("ignores drain", "drain_moves_the_worker", "a worker opens a stream"),
    ("says no Draining", "a_stop_ends_in_order", "says Draining"),
    ("exits with 3", "a_stop_ends_in_order", "exits with 0"),
]


@pytest.mark.parametrize("command", [OURS, SMALL], ids=["ours", "small"])
async def test_a_good_worker_keeps_every_rule(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await main(command, []) == 0, capsys.readouterr().out


@pytest.mark.parametrize(("mistake", "name", "told"), MISTAKES)
async def test_a_worker_that_breaks_a_rule_is_told_which(
    mistake: str, name: str, told: str, tmp_path: Path
) -> None:
    broken = await check(NAMED[name], f"{SMALL} '{mistake}'", tmp_path / "log")
    assert any(told in line for line in broken), broken


async def test_advice_is_shown_and_does_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{SMALL} 'is silent without tasks'"
    assert await main(command, ["a_worker_without_tasks_sends_heartbeats"]) == 0
    assert "○ a worker without tasks sends heartbeats" in capsys.readouterr().out
