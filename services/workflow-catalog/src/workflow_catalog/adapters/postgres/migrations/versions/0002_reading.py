"""Columns to filter lists, a trigger against changes of archived workflows, and an index of request ids."""

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The database computes these columns from the draft, so they cannot differ from it.
STATEMENTS = (
    """
    ALTER TABLE workflows
        ADD COLUMN description text NOT NULL
            GENERATED ALWAYS AS (coalesce(draft ->> 'description', '')) STORED,
        ADD COLUMN owner text COLLATE "C" NOT NULL
            GENERATED ALWAYS AS (coalesce(draft ->> 'owner', '')) STORED,
        ADD COLUMN labels jsonb NOT NULL
            GENERATED ALWAYS AS (coalesce((draft -> 'labels')::jsonb, '{}'::jsonb)) STORED
    """,
    "CREATE INDEX workflows_by_owner ON workflows (namespace, owner, workflow_id)",
    "CREATE INDEX workflows_by_label ON workflows USING gin (labels jsonb_path_ops)",
    "CREATE INDEX catalog_request_ids_by_create_time ON catalog_request_ids (create_time)",
    """
    CREATE FUNCTION refuse_archived_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'an archived workflow never changes';
    END
    $$
    """,
    """
    CREATE TRIGGER archived_workflows_are_read_only BEFORE UPDATE OR DELETE ON workflows
        FOR EACH ROW WHEN (OLD.status = 'ARCHIVED') EXECUTE FUNCTION refuse_archived_change()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(text(statement))


def downgrade() -> None:
    raise NotImplementedError("migrations go forwards only: restore a backup to go back")
