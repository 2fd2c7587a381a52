"""The task types that workers have offered.

A start that needs a type that no worker ever offered is refused. Else its task would wait until it times out.
"""

from collections import defaultdict
from collections.abc import Iterable
from difflib import get_close_matches

from workflow_contract.names import BUILT_IN_TASK_TYPES, CHILD_WORKFLOW, is_reserved

from execution_orchestrator.application.ports.store import Store
from execution_orchestrator.domain.errors import TaskTypeUnknownError
from execution_orchestrator.domain.plan import Plan


class TaskTypes:
    """The known types of each namespace. Types are only added, so a type in memory stays known."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, frozenset[str]] = defaultdict(lambda: BUILT_IN_TASK_TYPES)

    async def offer(self, namespace: str, task_types: Iterable[str]) -> None:
        """Note that a worker has these types. Raise StoreUnavailableError. May be repeated."""
        new = frozenset(task_types) - self._known[namespace]
        if new:
            await self._store.add_task_types(namespace, sorted(new))
            self._known[namespace] |= new

    async def check(self, namespace: str, plan: Plan) -> None:
        """Raise TaskTypeUnknownError for the first task that this release cannot run, or whose type no worker
        ever offered. Raise StoreUnavailableError. May be repeated.
        """
        if plan.task_types <= self._known[namespace]:
            return
        stored = await self._store.task_types(namespace)
        offered = (each for each in stored if not is_reserved(each))
        known = self._known[namespace] = BUILT_IN_TASK_TYPES.union(offered)
        for task in plan.tasks.values():
            if is_reserved(task.type):
                raise TaskTypeUnknownError(task.id, task.type, _not_in_this_release(task.id, task.type))
            if task.type not in known:
                raise TaskTypeUnknownError(task.id, task.type, _advice(task.id, task.type, known))


def _not_in_this_release(task_id: str, task_type: str) -> str:
    what = "child workflows" if task_type == CHILD_WORKFLOW else "timers, signals and approvals"
    return (
        f"task `{task_id}` has type `{task_type}`, and this release does not run {what}; "
        "publish a version without that task, and start that one"
    )


def _advice(task_id: str, task_type: str, known: frozenset[str]) -> str:
    near = get_close_matches(task_type, sorted(known), n=1)
    guess = f"did you mean `{near[0]}`? If not, start" if near else "start"
    return (
        f"task `{task_id}` has type `{task_type}`, which no worker ever offered; {guess} a worker that has it"
    )
