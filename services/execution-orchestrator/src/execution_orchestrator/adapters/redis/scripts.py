"""Lua scripts, each a file with its keys at the head, and what an unreachable Redis is called inwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from service_kit.data.redis import REDIS_ERRORS

from execution_orchestrator.application.ports.queue import HintsUnavailableError

_DIRECTORY = Path(__file__).with_name("lua")


class Script:
    """One atomic script: sent by its hash, and with its text if Redis does not know it (any more).

    `functions` names a file of functions that the script uses.
    """

    def __init__(self, client: Redis, name: str, functions: str | None = None) -> None:
        files = [name] if functions is None else [functions, name]
        text = "\n".join((_DIRECTORY / f"{each}.lua").read_text() for each in files)
        self._script = client.register_script(text)

    async def __call__(self, keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        """Run it. Raises HintsUnavailableError; it may have run then."""
        with hints_unavailable():
            return await self._script(keys=keys, args=arguments)


@contextmanager
def hints_unavailable() -> Iterator[None]:
    """Turn what goes wrong between here and Redis into the port's own error."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise HintsUnavailableError(f"Redis does not answer: {error!r}") from error
