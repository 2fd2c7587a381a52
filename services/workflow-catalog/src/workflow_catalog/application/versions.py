"""Read and compare published versions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prometheus_client import Counter
from service_kit.data.consistency import STRONG, ReadConsistency
from service_kit.tools.bounded_cache import BoundedCache

from workflow_catalog.application.check_lane import CheckLane
from workflow_catalog.application.ports import DefinitionCache, VersionAnswer, VersionQuery, WorkflowStore
from workflow_catalog.domain.comparison import Difference, compare
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.errors import CatalogError, VersionNotFoundError, WorkflowNotFoundError
from workflow_catalog.domain.limits import MAX_CACHED_DEFINITION_BYTES, MAX_CACHED_DEFINITIONS
from workflow_catalog.domain.workflow import WorkflowKey, WorkflowVersion

SOURCES = Counter(
    "catalog_definitions_read_total",
    "Definitions of versions that were read, by their source: memory, cache (Redis), database.",
    ["source"],
)


MAX_RESOLVED_BYTES = 4 * 1024 * 1024
"""Bytes of JSON after which `Versions.resolve` reads no more definitions: the reply has no room for them."""

RESOLVED_AT_ONCE = 100
"""Definitions to read with one statement: at most 100 MiB of JSON."""


@dataclass(frozen=True, slots=True)
class StartQuery:
    """A query of the orchestrator for the version that a start would run on."""

    query: VersionQuery
    known_version: int = 0
    """The version that the caller has already. If the answer is this version, it has no definition."""


class Versions:
    """The use cases. Versions never change, so their definitions are cached in memory and in Redis."""

    def __init__(
        self,
        store: WorkflowStore,
        cache: DefinitionCache,
        *,
        max_resolved_bytes: int = MAX_RESOLVED_BYTES,
        resolved_at_once: int = RESOLVED_AT_ONCE,
    ) -> None:
        self._max_resolved_bytes = max_resolved_bytes
        self._resolved_at_once = resolved_at_once
        self._store = store
        self._cache = cache
        self._comparisons = CheckLane()
        self._definitions: BoundedCache[str, Definition] = BoundedCache(
            max_entries=MAX_CACHED_DEFINITIONS, max_bytes=MAX_CACHED_DEFINITION_BYTES
        )

    async def get(self, query: VersionQuery, consistency: ReadConsistency) -> WorkflowVersion:
        """Return a version with its definition. If the replica does not have it, ask the primary.

        Raise WorkflowNotFoundError or VersionNotFoundError if it does not exist.
        """
        (answer,) = await self._store.resolve([query], consistency)
        if answer.version is None and not consistency.strong:
            consistency = STRONG
            (answer,) = await self._store.resolve([query], consistency)
        if answer.version is None:
            raise not_found(query, answer)
        (version,) = await self._with_definitions([answer.version], consistency)
        return version

    async def page(
        self, key: WorkflowKey, before: int, page_size: int, consistency: ReadConsistency
    ) -> tuple[Sequence[WorkflowVersion], bool]:
        """Return a page of versions below the number `before`, the newest first, and whether there are more.

        Raise WorkflowNotFoundError if the workflow does not exist.
        """
        found = await self._store.list_versions(key, before, page_size + 1, consistency)
        if not found:
            (answer,) = await self._store.resolve([VersionQuery(key)], STRONG)
            if answer.status is None:
                raise WorkflowNotFoundError(*key)
        return found[:page_size], len(found) > page_size

    async def compare(
        self, base: VersionQuery, target: VersionQuery | None, consistency: ReadConsistency
    ) -> tuple[Difference, int]:
        """Return the changes from `base` to `target`, and the number of the base. None means the draft.

        Raise WorkflowNotFoundError or VersionNotFoundError if one of them does not exist, and
        TooManyChecksError if too many comparisons wait.
        """
        async with self._comparisons:
            return await self._compare(base, target, consistency)

    async def _compare(
        self, base: VersionQuery, target: VersionQuery | None, consistency: ReadConsistency
    ) -> tuple[Difference, int]:
        first = await self.get(base, consistency)
        if target is not None:
            other = (await self.get(target, consistency)).definition
        else:
            other = await self._draft(base.key, consistency)
        assert first.definition is not None
        assert other is not None
        difference = await asyncio.to_thread(compare, first.definition.value, other.value)
        return difference, first.version

    async def _draft(self, key: WorkflowKey, consistency: ReadConsistency) -> Definition:
        workflow = await self._store.get(key, consistency) or await self._store.get(key, STRONG)
        if workflow is None:
            raise WorkflowNotFoundError(*key)
        return workflow.draft

    async def resolve(self, questions: Sequence[StartQuery]) -> list[VersionAnswer]:
        """Return an answer for each query, in their order, from the primary's current state.

        This takes one statement, plus one for every 100 definitions of which some are neither in memory nor
        in Redis. Equal queries are resolved once. When the definitions exceed MAX_RESOLVED_BYTES, the
        remaining answers have no definition.
        """
        unique = list(dict.fromkeys(question.query for question in questions))
        answers = dict(zip(unique, await self._store.resolve(unique, STRONG), strict=True))
        wanted = {
            version.content_hash: version
            for question in questions
            if (version := answers[question.query].version) and version.version != question.known_version
        }
        definitions = await self._first_definitions(list(wanted.values()))
        return [self._answer(question, answers[question.query], definitions) for question in questions]

    @staticmethod
    def _answer(
        question: StartQuery, answer: VersionAnswer, definitions: dict[str, Definition | None]
    ) -> VersionAnswer:
        version = answer.version
        if version is None or version.version == question.known_version:
            return answer
        return replace(answer, version=replace(version, definition=definitions.get(version.content_hash)))

    async def _first_definitions(self, versions: Sequence[WorkflowVersion]) -> dict[str, Definition | None]:
        """Return definitions by content hash. Stop reading when they have more than MAX_RESOLVED_BYTES."""
        found: dict[str, Definition | None] = {}
        size = 0
        for first in range(0, len(versions), self._resolved_at_once):
            some = versions[first : first + self._resolved_at_once]
            for version in await self._with_definitions(some, STRONG):
                found[version.content_hash] = version.definition
                size += 0 if version.definition is None else len(version.definition.text)
            if size > self._max_resolved_bytes:
                break
        return found

    async def _with_definitions(
        self, versions: Sequence[WorkflowVersion], consistency: ReadConsistency
    ) -> list[WorkflowVersion]:
        found = {version.content_hash: self._definitions.get(version.content_hash) for version in versions}
        SOURCES.labels("memory").inc(sum(each is not None for each in found.values()))
        missing = [each for each in versions if found[each.content_hash] is None]
        for definition in await self._fetch(missing, consistency) if missing else ():
            found[definition.content_hash] = definition
            self._definitions.put(definition.content_hash, definition, len(definition.text))
        return [replace(version, definition=found[version.content_hash]) for version in versions]

    async def _fetch(
        self, versions: Sequence[WorkflowVersion], consistency: ReadConsistency
    ) -> list[Definition]:
        """Read definitions that are not in memory from Redis, or else from the database."""
        cached = await self._cache.get([each.content_hash for each in versions])
        missing = [
            VersionQuery(each.key, each.version) for each in versions if each.content_hash not in cached
        ]
        read = await self._store.definitions(missing, consistency) if missing else ()
        if read:
            await self._cache.put(read)
        SOURCES.labels("cache").inc(len(cached))
        SOURCES.labels("database").inc(len(read))
        return [*cached.values(), *read]


def not_found(query: VersionQuery, answer: VersionAnswer) -> CatalogError:
    """Return the error for an answer without a version."""
    if answer.status is None:
        return WorkflowNotFoundError(*query.key)
    return VersionNotFoundError(*query.key, query.version, answer.active_version)
