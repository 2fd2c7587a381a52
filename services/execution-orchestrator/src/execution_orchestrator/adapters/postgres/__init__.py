"""The ports to Postgres: schema, migrations, the write path and the reads."""
