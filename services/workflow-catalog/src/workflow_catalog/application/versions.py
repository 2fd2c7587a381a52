"""What callers ask about published versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service_kit.consistency import STRONG, ReadConsistency

from workflow_catalog.application.content_cache import ContentCache
from workflow_catalog.application.ports import VersionAnswer, VersionQuery, WorkflowStore
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.errors import CatalogError, VersionNotFoundError, WorkflowNotFoundError
from workflow_catalog.domain.limits import MAX_CACHED_DEFINITION_BYTES
from workflow_catalog.domain.workflow import WorkflowVersion


@dataclass(frozen=True, slots=True)
class StartQuery:
    """A question of the orchestrator's: which version would a start run on?"""

    query: VersionQuery
    known_version: int = 0
    """A version that the caller has: where the answer is that one, its definition is left out."""


class Versions:
    """The use cases. Versions never change, so their definitions are kept in memory."""

    def __init__(self, store: WorkflowStore) -> None:
        self._store = store
        self._definitions: ContentCache[Definition] = ContentCache(MAX_CACHED_DEFINITION_BYTES)

    async def get(self, query: VersionQuery, consistency: ReadConsistency) -> WorkflowVersion:
        """A version with its definition. What the replica does not have is asked of the primary.

        Raises WorkflowNotFoundError and VersionNotFoundError.
        """
        (answer,) = await self._store.resolve([query], consistency)
        if answer.version is None and not consistency.strong:
            consistency = STRONG
            (answer,) = await self._store.resolve([query], consistency)
        if answer.version is None:
            raise not_found(query, answer)
        (version,) = await self._with_definitions([answer.version], consistency)
        return version

    async def resolve(self, questions: Sequence[StartQuery]) -> list[VersionAnswer]:
        """An answer for each question, in their order, as the primary knows it at this moment.

        One statement, and a second one only for definitions that are not in memory. Equal questions are
        asked once.
        """
        unique = list(dict.fromkeys(question.query for question in questions))
        answers = dict(zip(unique, await self._store.resolve(unique, STRONG), strict=True))
        wanted = {
            version.content_hash: version
            for question in questions
            if (version := answers[question.query].version) and version.version != question.known_version
        }
        complete = await self._with_definitions(list(wanted.values()), STRONG)
        definitions = {version.content_hash: version.definition for version in complete}
        return [self._answer(question, answers[question.query], definitions) for question in questions]

    @staticmethod
    def _answer(
        question: StartQuery, answer: VersionAnswer, definitions: dict[str, Definition | None]
    ) -> VersionAnswer:
        version = answer.version
        if version is None or version.version == question.known_version:
            return answer
        return replace(answer, version=replace(version, definition=definitions[version.content_hash]))

    async def _with_definitions(
        self, versions: Sequence[WorkflowVersion], consistency: ReadConsistency
    ) -> list[WorkflowVersion]:
        found = {version.content_hash: self._definitions.get(version.content_hash) for version in versions}
        missing = [
            VersionQuery(each.key, each.version) for each in versions if found[each.content_hash] is None
        ]
        if missing:
            for definition in await self._store.definitions(missing, consistency):
                found[definition.content_hash] = definition
                self._definitions.put(definition.content_hash, definition, len(definition.text))
        return [replace(version, definition=found[version.content_hash]) for version in versions]


def not_found(query: VersionQuery, answer: VersionAnswer) -> CatalogError:
    """Why there is no version in an answer."""
    if answer.status is None:
        return WorkflowNotFoundError(*query.key)
    return VersionNotFoundError(*query.key, query.version, answer.active_version)
