"""The gRPC service of the watch: its responses are bytes that many watchers share."""

from __future__ import annotations

import grpc
from service_kit.rpc.server import Registration
from workflowsystem.gateway.v1.watch_service_pb2 import DESCRIPTOR, WatchExecutionRequest

from workflow_gateway.watch.watcher import Watcher

WATCH_SERVICE: str = DESCRIPTOR.services_by_name["WatchService"].full_name


def registration(watcher: Watcher) -> Registration:
    """Return the registration of WatchService with `watcher` as its handler."""
    method = grpc.unary_stream_rpc_method_handler(
        watcher.watch_execution, request_deserializer=WatchExecutionRequest.FromString
    )
    handler = grpc.method_handlers_generic_handler(WATCH_SERVICE, {"WatchExecution": method})
    return Registration.generic(WATCH_SERVICE, handler)
