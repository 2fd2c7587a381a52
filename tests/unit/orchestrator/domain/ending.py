"""How an execution comes to an end when everybody does what is expected of them."""

from execution_orchestrator.domain.state_machine import ExecutionStatus, TaskStatus

from tests.unit.orchestrator.domain.world import World

MAX_STEPS_TO_THE_END = 2_000


def drive_to_the_end(world: World) -> None:
    """Honest workers and timers, and a user who resumes: whatever happened, it comes to an end."""
    world.join_batch, world.preload = False, ()
    for _ in range(MAX_STEPS_TO_THE_END):
        execution = world.execution
        if execution.final:
            return
        if execution.quarantine is not None and not execution.cancel_requested:
            world.release()
        elif execution.status is ExecutionStatus.PAUSED and not execution.cancel_requested:
            world.resume()
        elif ready := world.in_state(TaskStatus.READY):
            world.work(ready[0], {"items": [1]})
        else:
            _wait(world)
    raise AssertionError(f"it does not end: {world.statuses()}")


def _wait(world: World) -> None:
    """Nothing can be claimed: wait for the next timer."""
    times = [
        world.execution.wake_time,
        *(task.wake_time for task in world.rows.values()),
    ]
    if world.execution.quarantine is None:  # while it is quarantined, no claim is lost
        times += [world.boots[str(task.boot_id)] for task in world.rows.values() if task.confirmed]
    due = [time for time in times if time is not None]
    assert due, f"nothing is under way and no timer is set: {world.statuses()}"
    world.sleep(max((min(due) - world.now).total_seconds(), 0))
