"""The schema. The key of every table begins with the namespace. Ids sort by their bytes, in every locale."""

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

metadata = MetaData()


def _id(name: str) -> Column[str]:
    return Column(name, Text(collation="C"), nullable=False)


workflows = Table(
    "workflows",
    metadata,
    _id("namespace"),
    _id("workflow_id"),
    Column("status", Text, nullable=False),
    Column("draft", JSON, nullable=False),  # canonical JSON, stored as text: the hash is of this text
    Column("draft_hash", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),  # part of the etag
    Column("active_version", Integer, nullable=False),  # 0 before the first publish
    Column("active_hash", Text, nullable=False),  # empty before the first publish
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("description", Text, Computed("coalesce(draft ->> 'description', '')"), nullable=False),
    Column("owner", Text(collation="C"), Computed("coalesce(draft ->> 'owner', '')"), nullable=False),
    Column("labels", JSONB, Computed("coalesce((draft -> 'labels')::jsonb, '{}'::jsonb)"), nullable=False),
    PrimaryKeyConstraint("namespace", "workflow_id"),
    Index("workflows_by_owner", "namespace", "owner", "workflow_id"),
    Index(
        "workflows_by_label", "labels", postgresql_using="gin", postgresql_ops={"labels": "jsonb_path_ops"}
    ),
)

workflow_versions = Table(
    "workflow_versions",
    metadata,
    _id("namespace"),
    _id("workflow_id"),
    Column("version", Integer, nullable=False),
    Column("definition", JSON, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("publish_time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("namespace", "workflow_id", "version"),
    ForeignKeyConstraint(["namespace", "workflow_id"], ["workflows.namespace", "workflows.workflow_id"]),
    comment="Published versions. Rows are inserted and never updated.",
)

catalog_request_ids = Table(
    "catalog_request_ids",
    metadata,
    _id("namespace"),
    _id("request_id"),
    Column("request_hash", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("namespace", "request_id"),
    Index("catalog_request_ids_by_create_time", "create_time"),
    comment="Requests that created something, so that a repeat gets the first answer.",
)
