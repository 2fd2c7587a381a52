"""The child process, which reads checks from its standard input and writes answers to its standard output.

A message is its length in 4 bytes, then JSON. A check is {"schema": text, "value": text, "root": name,
"cpu_seconds": number}. The answer is {"fits": bool}, then {"violations": [...]} if the value does not fit.
If the schema is not valid, the answer is {"error": text}.

The kernel kills the process if a check takes more processor time than the message allows. The argument on the
command line limits the memory, in bytes.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from functools import lru_cache
from typing import IO, Any

from workflow_schemas.compiled import CompiledSchema
from workflow_schemas.limits import CHILD_SCHEMAS

LENGTH_BYTES = 4


def read(stream: IO[bytes]) -> Any:
    """Return the next message. Raise EOFError if the stream has ended."""
    header = stream.read(LENGTH_BYTES)
    size = int.from_bytes(header, "big")
    body = stream.read(size)
    if len(header) < LENGTH_BYTES or len(body) < size:
        raise EOFError("the other process has closed the stream")
    return json.loads(body)


def write(stream: IO[bytes], message: Any) -> None:
    """Write a message to the stream, and flush it."""
    body = json.dumps(message).encode()
    stream.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
    stream.flush()


@lru_cache(maxsize=CHILD_SCHEMAS)
def _compiled(schema: str) -> CompiledSchema:
    return CompiledSchema(json.loads(schema))


def _answer(check: dict[str, Any], answers: IO[bytes]) -> None:
    try:
        schema = _compiled(check["schema"])
    except ValueError as error:
        write(answers, {"error": str(error)})
        return
    value = json.loads(check["value"])
    fits = schema.fits(value)
    write(answers, {"fits": fits})
    if not fits:
        size_bytes = len(check["value"])
        write(answers, {"violations": schema.violations(value, size_bytes, check["root"])})


def _limit(kind: int, soft: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def main() -> None:
    """Answer checks until the parent closes the pipe."""
    _limit(resource.RLIMIT_DATA, int(sys.argv[1]))
    _limit(resource.RLIMIT_CORE, 0)
    checks, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            check = read(checks)
        except EOFError:
            return
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + check["cpu_seconds"])
        _answer(check, answers)


if __name__ == "__main__":
    main()
