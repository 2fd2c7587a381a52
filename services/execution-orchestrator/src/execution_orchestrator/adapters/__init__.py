"""The adapters: Postgres, Redis and the catalog, behind the ports of the application."""
