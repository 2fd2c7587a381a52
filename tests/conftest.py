"""Every test may use the fixtures of testkit: real servers, a database of its own, a clock that waits."""

import os

# Before gRPC is loaded: its fork handlers crash a child that is forked while calls are under way, and tests
# start servers in the middle of calls.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

pytest_plugins = ["testkit.plugin"]
