"""Find the workflows that a definition runs as children, the children of these, and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service_kit.data.consistency import STRONG

from workflow_catalog.application.ports import VersionAnswer, VersionQuery, WorkflowFilter, WorkflowStore
from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.limits import MAX_CHILD_DEPTH
from workflow_catalog.domain.validation.children import KnownWorkflow, Neighbours, child_ids
from workflow_catalog.domain.workflow import WorkflowKey

MAX_SIMILAR = 1_000
"""Ids to search for one that is similar to the id of a child that does not exist."""


async def find_neighbours(
    store: WorkflowStore, key: WorkflowKey, definition: Mapping[str, Json]
) -> Neighbours:
    """Return the other workflows that the checks need. Takes at most two statements per level of children."""
    known: dict[str, KnownWorkflow] = {}
    wanted = child_ids(definition) - {key.workflow_id}
    missing = False
    for _ in range(MAX_CHILD_DEPTH):
        if not wanted:
            break
        found = await _look_up(store, key.namespace, sorted(wanted))
        missing = missing or len(found) < len(wanted)
        known.update(found)
        below = {child for each in found.values() for child in each.children}
        wanted = frozenset(below) - known.keys() - {key.workflow_id}
    similar: Sequence[str] = ()
    if missing:
        listed = await store.list(WorkflowFilter(key.namespace), MAX_SIMILAR, STRONG)
        similar = [each.key.workflow_id for each in listed]
    return Neighbours(key.workflow_id, known, similar)


async def _look_up(store: WorkflowStore, namespace: str, ids: Sequence[str]) -> dict[str, KnownWorkflow]:
    queries = [VersionQuery(WorkflowKey(namespace, each)) for each in ids]
    answers = dict(zip(ids, await store.resolve(queries, STRONG), strict=True))
    there = {each: answer for each, answer in answers.items() if answer.status is not None}
    active = [
        VersionQuery(WorkflowKey(namespace, each), answer.active_version)
        for each, answer in there.items()
        if answer.version is not None
    ]
    definitions = {each.content_hash: each.value for each in await store.definitions(active, STRONG)}
    return {each: _known(answer, definitions) for each, answer in there.items()}


def _known(answer: VersionAnswer, definitions: Mapping[str, Mapping[str, Json]]) -> KnownWorkflow:
    assert answer.status is not None
    definition = definitions.get(answer.version.content_hash, {}) if answer.version is not None else {}
    return KnownWorkflow(answer.status, answer.active_version, child_ids(definition))
