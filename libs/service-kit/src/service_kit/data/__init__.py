"""PostgreSQL and Redis: connections, pools, the replica, migrations."""
