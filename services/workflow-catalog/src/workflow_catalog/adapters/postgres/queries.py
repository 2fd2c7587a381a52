"""The statements of the catalog."""

from sqlalchemy import ARRAY, Integer, Text, and_, bindparam, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from workflow_catalog.adapters.postgres.statements import Statement
from workflow_catalog.adapters.postgres.tables import catalog_request_ids, workflow_versions, workflows

_w, _v, _r = workflows.c, workflow_versions.c, catalog_request_ids.c

_this_workflow = and_(_w.namespace == bindparam("namespace"), _w.workflow_id == bindparam("workflow_id"))

GET_WORKFLOW = Statement(select(workflows).where(_this_workflow))
LOCK_WORKFLOW = Statement(select(workflows).where(_this_workflow).with_for_update())
ADD_WORKFLOW = Statement(
    pg_insert(workflows)
    .values({column.name: bindparam(column.name) for column in workflows.columns})
    .on_conflict_do_nothing()
    .returning(_w.revision)
)
_CHANGING = ("status", "draft", "draft_hash", "revision", "active_version", "active_hash", "update_time")
SAVE_WORKFLOW = Statement(
    update(workflows).where(_this_workflow).values({name: bindparam(f"new_{name}") for name in _CHANGING})
)
ADD_VERSION = Statement(
    insert(workflow_versions).values(
        {column.name: bindparam(column.name) for column in workflow_versions.columns}
    )
)

# The upper bound of a prefix: `~` sorts behind every character that an id can have.
_STATUSES = bindparam("statuses", type_=ARRAY(Text))
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
    )
    .where(
        _w.namespace == bindparam("namespace"),
        _w.workflow_id > bindparam("after"),
        _w.workflow_id >= bindparam("prefix"),
        _w.workflow_id < bindparam("prefix_end"),
        (func.cardinality(_STATUSES) == 0) | (_w.status == func.any(_STATUSES)),
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
