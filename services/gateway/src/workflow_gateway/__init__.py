"""The edge: streams status events, passes the other services on as bytes, and reports the health of the
system.
"""
