"""The statements of the reads. SQLAlchemy Core builds the one whose filters vary, once for each shape.

Every list has a limit in rows and in bytes. `size_before` is the number of bytes of the rows before a row,
and `found` is the number of rows before the cut by bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    func,
    null,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, asyncpg
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from execution_orchestrator.adapters.postgres.tables import execution_events, executions
from execution_orchestrator.application.ports.reads import (
    MAX_LIST_WALK,
    MAX_MANY_BYTES,
    MAX_READ_PAYLOAD_BYTES,
    MAX_USAGE_COUNT,
    MAX_USAGE_VERSIONS,
    MAX_USAGE_WALK,
)

_BASIC = [column for column in executions.columns if column.name != "input"]
_EXECUTION = ", ".join(f"t.{column.name}" for column in _BASIC)
_EVENT = ", ".join(
    column.name for column in execution_events.columns if column.name not in ("execution_id", "namespace")
)
# Return one execution of a namespace, without its input.
GET_EXECUTION = f"SELECT {_EXECUTION} FROM executions t WHERE t.id = $1 AND t.namespace = $2"
# The same with its input.
GET_EXECUTION_WITH_INPUT = GET_EXECUTION.replace(" FROM", ", t.input FROM")
# Return whether the execution exists in the namespace.
EXECUTION_EXISTS = "SELECT true FROM executions t WHERE t.id = $1 AND t.namespace = $2"
# Return executions in the order of the keys, as many as fit into a number of bytes, at least one. A key
# without an execution gives a row of nulls.
GET_EXECUTIONS = f"""
SELECT * FROM (
    SELECT {_EXECUTION}, q.place,
           coalesce(sum(
               coalesce(octet_length(t.output::text), 0) + coalesce(octet_length(t.failure::text), 0)
           ) OVER (ORDER BY q.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS size_before
    FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS q(id, namespace, place)
    LEFT JOIN executions t ON t.id = q.id AND t.namespace = q.namespace
) sized WHERE size_before < {MAX_MANY_BYTES} ORDER BY place
"""
# Return how far executions have come, for callers that wait.
LOOK = (
    "SELECT t.namespace, t.id, t.last_sequence, t.status "
    "FROM unnest($1::uuid[]) AS q(id) JOIN executions t ON t.id = q.id"
)

# Return a page of later events for each execution and sequence number.
EVENTS_AFTER = f"""
SELECT q.place, e.* FROM unnest($1::uuid[], $2::text[], $3::bigint[]) WITH ORDINALITY
    AS q(execution_id, namespace, after_sequence, place)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT *, count(*) OVER () AS found, coalesce(sum(octet_length(details::text)) OVER (
            ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS size_before
        FROM (SELECT {_EVENT} FROM execution_events t
              WHERE t.execution_id = q.execution_id AND t.namespace = q.namespace AND t.sequence >
              q.after_sequence ORDER BY t.sequence LIMIT $4 + 1) page
    ) sized WHERE size_before < $5::bigint ORDER BY sequence LIMIT $4
) e ORDER BY q.place, e.sequence
"""


USAGE_SETTINGS = "SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off"
"""Settings for the transaction of USAGE. Its order names every column of the index of executions in flight.
So a planner that may not sort can only walk along that index, whatever the statistics say.
"""


def _in_flight_end(order: str) -> str:
    """Return a subquery for one end of a version's executions in flight."""
    key = ("namespace", "workflow_id", "version")
    columns, ordered = ", ".join(key), ", ".join(f"{name} {order}" for name in key)
    return (
        f"(SELECT id, status FROM executions WHERE NOT final AND ({columns}) >= ($1, $2, v.version) "
        f"AND ({columns}) <= ($1, $2, v.version) ORDER BY {ordered} LIMIT {MAX_USAGE_WALK})"
    )


def _newest_in_flight(below: str) -> str:
    return (
        "(SELECT e.version FROM executions e WHERE NOT e.final "
        "AND (e.namespace, e.workflow_id, e.version) >= ($1, $2, 0) "
        f"AND (e.namespace, e.workflow_id, e.version) < ($1, $2, {below}) "
        "ORDER BY e.namespace DESC, e.workflow_id DESC, e.version DESC LIMIT 1)"
    )


# Count the executions in flight of a workflow, by version and status. The walk goes from version to version
# along the index of executions in flight, which has no entries of the history. It reads both ends of each
# version: in a long queue the oldest executions run, and the newest wait.
USAGE = f"""
WITH RECURSIVE v AS (
    SELECT {_newest_in_flight("$3::integer")} AS version, 1 AS place
    UNION ALL
    SELECT {_newest_in_flight("v.version")}, v.place + 1 FROM v
    WHERE v.version IS NOT NULL AND v.place < {MAX_USAGE_VERSIONS}
)
SELECT v.version, least(c.pending, {MAX_USAGE_COUNT})::integer AS pending,
       least(c.running, {MAX_USAGE_COUNT})::integer AS running,
       least(c.paused, {MAX_USAGE_COUNT})::integer AS paused
FROM v CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE status = 'PENDING') AS pending,
           count(*) FILTER (WHERE status = 'RUNNING') AS running,
           count(*) FILTER (WHERE status = 'PAUSED') AS paused
    FROM ({_in_flight_end("ASC")} UNION {_in_flight_end("DESC")}) ends
) c WHERE v.version IS NOT NULL
"""


class Statement(NamedTuple):
    """SQL for asyncpg, the names of its parameters in order, and the values that never change."""

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of the parameters."""
        return [values[name] if name in values else self.constants[name] for name in self.names]


_Columns = ReadOnlyColumnCollection[str, Any]
_FILTERS: dict[str, Callable[[_Columns], ColumnElement[bool]]] = {
    "statuses": lambda c: c.status == any_(bindparam("statuses", type_=ARRAY(Text))),
    "labels": lambda c: c.labels.contains(bindparam("labels", type_=JSONB)),
    "create_time_from": lambda c: c.create_time >= bindparam("create_time_from"),
    "create_time_before": lambda c: c.create_time < bindparam("create_time_before"),
    # This is an expression, so that no planner walks along all executions of the workflow.
    "workflow": lambda c: c.workflow_id.concat("") == bindparam("workflow", type_=Text),
}
QUARANTINED = "quarantined"
LIST_FILTERS = frozenset({*_FILTERS, QUARANTINED})
SPARSE_FILTERS = frozenset({"statuses", "labels"})
"""The filters that may match nothing in the whole history. All others only end the walk along the index."""


@cache
def list_executions(
    filters: frozenset[str], *, of_workflow: bool, max_walk: int = MAX_LIST_WALK
) -> Statement:
    """Return the statement for up to `limit` executions from `lowest_id` to before `before_id`, newest first.

    The caller sorts the rows by id. The other parameters are `namespace`, with `of_workflow` also
    `workflow_id`, and the filters of these names. Both ends and the order name every column of the index, so
    that every plan is a walk along it. With equalities a planner may walk the primary key, past all
    executions of other workflows.

    With `quarantined` the walk is along the small index of quarantined executions, which is not ordered by
    workflow.

    With a sparse filter the walk ends after `max_walk` entries. Each row has the id of that entry as
    `walk_end`, or null if there are fewer entries. If nothing matches, there is one row with only `walk_end`.
    """
    names = ("namespace", "workflow_id", "id") if of_workflow else ("namespace", "id")
    sparse = bool(filters & SPARSE_FILTERS)
    quarantined = QUARANTINED in filters
    walk = _walk(_BASIC, names, quarantined=quarantined)
    walked = (walk.limit(max_walk) if sparse else walk).subquery("walked")
    order = [walked.c[name].desc() for name in names]
    page = (
        select(walked)
        .where(*(_FILTERS[name](walked.c) for name in sorted(filters - {QUARANTINED})))
        .order_by(*order)
        .limit(bindparam("limit", type_=Integer))
        .subquery("page")
    )
    fits = _fitting(page, names)
    end = (
        _walk([executions.c.id], names, quarantined=quarantined)
        .offset(max_walk - 1)
        .limit(1)
        .scalar_subquery()
    )
    one = select((end if sparse else null()).label("walk_end")).subquery("one")
    query = select(one.c.walk_end, fits).select_from(one.outerjoin(fits, true()))
    compiled = query.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
    return Statement(compiled.string, tuple(compiled.positiontup or ()), compiled.params)


def _walk(columns: Sequence[Column[Any]], names: tuple[str, ...], *, quarantined: bool) -> Select[Any]:
    """Return the walk along the index of these columns, backwards from before `before_id`."""
    key = [executions.c[name] for name in names]
    scope = [bindparam(column.name, type_=Text) for column in key[:-1]]
    walk = (
        select(*columns)
        .where(tuple_(*key) >= tuple_(*scope, bindparam("lowest_id", type_=Uuid)))
        .where(tuple_(*key) < tuple_(*scope, bindparam("before_id", type_=Uuid)))
        .order_by(*(column.desc() for column in key))
    )
    return walk.where(executions.c.quarantine.is_not(None)) if quarantined else walk


def _fitting(page: Subquery, names: tuple[str, ...]) -> Subquery:
    """Return the rows of a page up to MAX_READ_PAYLOAD_BYTES."""
    order = [page.c[name].desc() for name in names]
    before = func.coalesce(
        func.sum(_output_bytes(page) + _bytes(page.c.failure)).over(order_by=order, rows=(None, -1)), 0
    )
    sized = select(page, before.label("size_before"), func.count().over().label("found")).subquery("sized")
    return select(sized).where(sized.c.size_before < MAX_READ_PAYLOAD_BYTES).subquery("fits")


def _output_bytes(page: Subquery) -> ColumnElement[int]:
    """Return the bytes of the output. Like `size_of`, measure only outputs of earlier releases."""
    stored: ColumnElement[int] = page.c.output_bytes
    return case((stored > 0, stored), else_=_bytes(page.c.output))


def _bytes(column: ColumnElement[Any]) -> ColumnElement[int]:
    size: ColumnElement[int] = func.coalesce(func.octet_length(cast(column, Text)), 0)
    return size
