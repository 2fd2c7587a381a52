"""Buckets of executions: what belongs together is found at the same place, whatever that place is.

The last 10 bits of an execution's id are its bucket. If the start has a request id, the bucket is a hash of
namespace and request id. So a repeat of the start gets the same bucket, although nobody knows the first id
yet. Otherwise the bucket is random. Executions that work together, such as a parent and its children, should
share a bucket.

Today a bucket decides the lane of an execution within a replica. It could decide the database as well.
"""

from hashlib import blake2b
from typing import Final
from uuid import UUID

BUCKETS: Final = 1024
"""Never change it: the ids of stored executions hold their buckets."""


def bucket_of(execution_id: UUID) -> int:
    """Return the bucket of an execution, from 0 to BUCKETS - 1."""
    return execution_id.int % BUCKETS


def bucket_of_request(namespace: str, request_id: str) -> int:
    """Return the bucket of every execution that this request id may start. The same in every process."""
    digest = blake2b(f"{namespace}\0{request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % BUCKETS
