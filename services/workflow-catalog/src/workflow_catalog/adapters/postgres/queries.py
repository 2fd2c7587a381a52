"""The SQL statements of the catalog."""

from sqlalchemy import (
    ARRAY,
    DateTime,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from workflow_catalog.adapters.postgres.statements import Statement
from workflow_catalog.adapters.postgres.tables import catalog_request_ids, workflow_versions, workflows

_w, _v, _r = workflows.c, workflow_versions.c, catalog_request_ids.c

_this_workflow = and_(_w.namespace == bindparam("namespace"), _w.workflow_id == bindparam("workflow_id"))

GET_WORKFLOW = Statement(select(workflows).where(_this_workflow))
LOCK_WORKFLOW = Statement(select(workflows).where(_this_workflow).with_for_update())
ADD_WORKFLOW = Statement(
    pg_insert(workflows)
    .values({column.name: bindparam(column.name) for column in workflows.columns if column.computed is None})
    .on_conflict_do_nothing()
    .returning(_w.revision)
)
_CHANGING = ("status", "draft", "draft_hash", "revision", "active_version", "active_hash", "update_time")
SAVE_WORKFLOW = Statement(
    update(workflows).where(_this_workflow).values({name: bindparam(f"new_{name}") for name in _CHANGING})
)
REMOVE_WORKFLOW = Statement(delete(workflows).where(_this_workflow))
ADD_VERSION = Statement(
    insert(workflow_versions).values(
        {column.name: bindparam(column.name) for column in workflow_versions.columns}
    )
)

# The upper bound of a prefix: `~` sorts after every character that an id can have.
_STATUSES = bindparam("statuses", type_=ARRAY(Text))
_OWNER = bindparam("owner", type_=Text)
_LABELS = bindparam("labels", type_=JSONB)
LIST_WORKFLOWS = Statement(
    select(
        _w.namespace,
        _w.workflow_id,
        _w.status,
        _w.revision,
        _w.active_version,
        (_w.draft_hash != _w.active_hash).label("draft_changed"),
        _w.create_time,
        _w.update_time,
        _w.description,
        _w.owner,
        _w.labels,
    )
    .where(
        _w.namespace == bindparam("namespace"),
        _w.workflow_id > bindparam("after"),
        _w.workflow_id >= bindparam("prefix"),
        _w.workflow_id < bindparam("prefix_end"),
        (func.cardinality(_STATUSES) == 0) | (_w.status == func.any(_STATUSES)),
        (_OWNER == "") | (_w.owner == _OWNER),
        _w.labels.contains(_LABELS),
    )
    .order_by(_w.workflow_id)
    .limit(bindparam("count", type_=Integer))
)

_asked = (
    func.unnest(
        bindparam("namespaces", type_=ARRAY(Text)),
        bindparam("workflow_ids", type_=ARRAY(Text)),
        bindparam("versions", type_=ARRAY(Integer)),
    )
    .table_valued("namespace", "workflow_id", "version", with_ordinality="position", name="asked")
    .render_derived()
)
RESOLVE_VERSIONS = Statement(
    select(
        _w.status,
        _w.active_version,
        _v.version,
        _v.content_hash,
        _v.publish_time,
    )
    .select_from(
        _asked.outerjoin(
            workflows,
            and_(_w.namespace == _asked.c.namespace, _w.workflow_id == _asked.c.workflow_id),
        ).outerjoin(
            workflow_versions,
            and_(
                _v.namespace == _w.namespace,
                _v.workflow_id == _w.workflow_id,
                _v.version == case((_asked.c.version == 0, _w.active_version), else_=_asked.c.version),
            ),
        )
    )
    .order_by(_asked.c.position)
)
GET_DEFINITIONS = Statement(
    select(_v.definition, _v.content_hash).select_from(
        _asked.join(
            workflow_versions,
            and_(
                _v.namespace == _asked.c.namespace,
                _v.workflow_id == _asked.c.workflow_id,
                _v.version == _asked.c.version,
            ),
        )
    )
)

LIST_VERSIONS = Statement(
    select(_v.version, _v.content_hash, _v.publish_time)
    .where(
        _v.namespace == bindparam("namespace"),
        _v.workflow_id == bindparam("workflow_id"),
        _v.version < bindparam("before"),
    )
    .order_by(_v.version.desc())
    .limit(bindparam("count", type_=Integer))
)

CLAIM_REQUEST = Statement(
    pg_insert(catalog_request_ids)
    .values({column.name: bindparam(column.name) for column in catalog_request_ids.columns})
    .on_conflict_do_nothing()
    .returning(_r.request_id)
)
GET_REQUEST = Statement(
    select(_r.request_hash, _r.create_time).where(
        _r.namespace == bindparam("namespace"), _r.request_id == bindparam("request_id")
    )
)
_key = (_r.namespace, _r.request_id)
FORGET_REQUESTS = Statement(
    delete(catalog_request_ids).where(
        tuple_(*_key).in_(
            select(*_key)
            .where(_r.create_time < bindparam("before", type_=DateTime(timezone=True)))
            .order_by(_r.create_time)
            .limit(bindparam("count", type_=Integer))
            .with_for_update(skip_locked=True)
        )
    )
)
