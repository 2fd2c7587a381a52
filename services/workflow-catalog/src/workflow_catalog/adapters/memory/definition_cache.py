"""The port DefinitionCache in memory, kept to the same contract suite as the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workflow_catalog.domain.definition import Definition


class MemoryDefinitionCache:
    """The port DefinitionCache; `lose` forgets everything."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}

    async def get(self, content_hashes: Sequence[str]) -> Mapping[str, Definition]:
        """See the port."""
        return {each: self._definitions[each] for each in content_hashes if each in self._definitions}

    async def put(self, definitions: Sequence[Definition]) -> None:
        """See the port."""
        self._definitions.update({each.content_hash: each for each in definitions})

    def lose(self) -> None:
        """Forget everything, as a Redis may."""
        self._definitions.clear()
