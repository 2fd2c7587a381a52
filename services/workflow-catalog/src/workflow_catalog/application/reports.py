"""Report the problems and the changes that a publish of a definition would find."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service_kit.data.consistency import STRONG

from workflow_catalog.application.check_lane import CheckLane
from workflow_catalog.application.neighbours import find_neighbours
from workflow_catalog.application.ports import VersionQuery, WorkflowStore
from workflow_catalog.application.versions import Versions
from workflow_catalog.domain.comparison import UNCHANGED, Difference, compare
from workflow_catalog.domain.definition import Definition, Json
from workflow_catalog.domain.problem import Problem
from workflow_catalog.domain.validation import find_problems, first_problems
from workflow_catalog.domain.validation.children import Neighbours
from workflow_catalog.domain.workflow import Workflow, WorkflowKey


@dataclass(frozen=True, slots=True)
class Report:
    """The problems of a definition, and its differences from the active version."""

    content_hash: str
    problems: Sequence[Problem] = ()
    difference: Difference = UNCHANGED
    base_version: int = 0
    """The version that the definition was compared with; 0 if no version was published."""

    @property
    def errors(self) -> list[Problem]:
        """The problems that prevent a publish."""
        return [problem for problem in self.problems if problem.is_error]


class Reports:
    """Makes reports. Each takes up to a second of processor time, in a thread, and writes nothing."""

    def __init__(self, store: WorkflowStore, versions: Versions) -> None:
        self._store = store
        self._versions = versions
        self._publishes = CheckLane()
        self._looks = CheckLane()

    async def make(
        self,
        key: WorkflowKey,
        definition: Definition,
        workflow: Workflow | None,
        broken_rules: Iterable[Problem] = (),
        *,
        publishes: bool = False,
    ) -> Report:
        """Return the report on a definition. If the workflow does not exist yet, `workflow` is None.

        `broken_rules` has the problems that the contract's rules have found. With `publishes`, use the lane
        of publishes, so that validations and dry runs never delay a publish. Raise TooManyChecksError if too
        many checks wait.
        """
        async with self._publishes if publishes else self._looks:
            return await self._make(key, definition, workflow, broken_rules)

    async def _make(
        self,
        key: WorkflowKey,
        definition: Definition,
        workflow: Workflow | None,
        broken_rules: Iterable[Problem],
    ) -> Report:
        base = await self._base(workflow)
        value = await asyncio.to_thread(lambda: definition.value)
        around = await find_neighbours(self._store, key, value)
        other = None if base is None or base.content_hash == definition.content_hash else base
        problems, difference = await asyncio.to_thread(_check, value, other, around, list(broken_rules))
        version = workflow.active_version if workflow is not None else 0
        return Report(definition.content_hash, problems, difference, version)

    async def _base(self, workflow: Workflow | None) -> Definition | None:
        if workflow is None or not workflow.active_version:
            return None
        version = await self._versions.get(VersionQuery(workflow.key, workflow.active_version), STRONG)
        return version.definition


def _check(
    value: Mapping[str, Json], other: Definition | None, around: Neighbours, broken_rules: list[Problem]
) -> tuple[Sequence[Problem], Difference]:
    """Return the problems of a definition, and its differences from `other`, the active version.

    If no version was published, or the active version is equal, `other` is None.
    """
    problems = first_problems([*broken_rules, *find_problems(value, around)])
    return problems, UNCHANGED if other is None else compare(other.value, value)
