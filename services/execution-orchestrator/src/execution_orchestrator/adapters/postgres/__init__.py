"""Every fact: schema, migrations, the write path and the queries."""
