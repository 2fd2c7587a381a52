"""Lua scripts, each a file with its keys at the head, and the error for a Redis that does not answer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from service_kit.data.redis import REDIS_ERRORS

from execution_orchestrator.application.ports.hints import HintsUnavailableError

_DIRECTORY = Path(__file__).with_name("lua")


class Script:
    """One atomic script. The client sends its hash, and its text if Redis does not know the script.

    `functions` names a file of functions that the script uses.
    """

    def __init__(self, client: Redis, name: str, functions: str | None = None) -> None:
        files = [name] if functions is None else [functions, name]
        text = "\n".join((_DIRECTORY / f"{each}.lua").read_text() for each in files)
        self._script = client.register_script(text)

    async def __call__(self, keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        """Run the script. Raise HintsUnavailableError; the script may have run all the same."""
        with hints_unavailable():
            return await self._script(keys=keys, args=arguments)


@contextmanager
def hints_unavailable() -> Iterator[None]:
    """Turn errors of the connection to Redis into the port's own error."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise HintsUnavailableError(f"Redis does not answer: {error!r}") from error
