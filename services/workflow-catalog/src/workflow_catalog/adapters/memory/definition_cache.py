"""The port DefinitionCache in memory. The same contract tests run on it and on the real cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workflow_catalog.domain.definition import Definition


class MemoryDefinitionCache:
    """The port DefinitionCache. `lose` removes all entries."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}

    async def get(self, content_hashes: Sequence[str]) -> Mapping[str, Definition]:
        return {each: self._definitions[each] for each in content_hashes if each in self._definitions}

    async def put(self, definitions: Sequence[Definition]) -> None:
        self._definitions.update({each.content_hash: each for each in definitions})

    def lose(self) -> None:
        """Remove all entries, as may happen in Redis."""
        self._definitions.clear()
