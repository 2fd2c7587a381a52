"""The pause before a restart grows while a process ends at once, and forgives one that ran."""

from embedded_stack.restart_pause import MAX_PAUSE_SECONDS, RestartPause


def pauses(*ran: float) -> list[float]:
    """The pauses after runs of so many seconds."""
    pause, seen = RestartPause(), []
    for seconds in ran:
        pause = pause.after(seconds)
        seen.append(pause.seconds)
    return seen


def test_the_pause_doubles_while_the_process_ends_at_once_up_to_the_longest() -> None:
    assert pauses(*[1.0] * 8) == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_process_that_is_killed_now_and_then_always_starts_again_soon() -> None:
    """Seven kills within 75 s once meant half a minute without an orchestrator."""
    assert pauses(*[10.0] * 7) == [0.5] * 7


def test_each_second_of_running_takes_a_second_off() -> None:
    assert pauses(*[0.0] * 6, 5.0 + 14.0) == [0.5, 1, 2, 4, 8, 16, 4]
    assert pauses(*[0.0] * 7, 3600.0)[-1] == 0.5
    assert max(pauses(*[0.0] * 50)) == MAX_PAUSE_SECONDS
