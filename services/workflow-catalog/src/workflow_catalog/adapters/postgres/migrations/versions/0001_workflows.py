"""Workflows, their versions, request ids."""

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE workflows (
        namespace text COLLATE "C" NOT NULL,
        workflow_id text COLLATE "C" NOT NULL,
        status text NOT NULL CHECK (status IN ('DRAFT', 'ACTIVE', 'INACTIVE', 'ARCHIVED')),
        draft json NOT NULL,
        draft_hash text NOT NULL,
        revision bigint NOT NULL,
        active_version integer NOT NULL,
        active_hash text NOT NULL,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        PRIMARY KEY (namespace, workflow_id)
    )
    """,
    """
    CREATE TABLE workflow_versions (
        namespace text COLLATE "C" NOT NULL,
        workflow_id text COLLATE "C" NOT NULL,
        version integer NOT NULL CHECK (version > 0),
        definition json NOT NULL,
        content_hash text NOT NULL,
        publish_time timestamptz NOT NULL,
        PRIMARY KEY (namespace, workflow_id, version),
        FOREIGN KEY (namespace, workflow_id) REFERENCES workflows (namespace, workflow_id)
    )
    """,
    "COMMENT ON TABLE workflow_versions IS 'Published versions. Rows are inserted and never updated.'",
    """
    CREATE FUNCTION refuse_version_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a published version never changes';
    END
    $$
    """,
    """
    CREATE TRIGGER workflow_versions_are_immutable BEFORE UPDATE ON workflow_versions
        FOR EACH ROW EXECUTE FUNCTION refuse_version_change()
    """,
    """
    CREATE TABLE catalog_request_ids (
        namespace text COLLATE "C" NOT NULL,
        request_id text COLLATE "C" NOT NULL,
        request_hash text NOT NULL,
        create_time timestamptz NOT NULL,
        PRIMARY KEY (namespace, request_id)
    )
    """,
    """
    COMMENT ON TABLE catalog_request_ids
        IS 'Requests that created something, so that a repeat gets the first answer.'
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(text(statement))


def downgrade() -> None:
    raise NotImplementedError("migrations go forwards only: restore a backup to go back")
