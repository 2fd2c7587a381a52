"""The edge: streams status events, passes the other services on as bytes, tells whether all is well."""
