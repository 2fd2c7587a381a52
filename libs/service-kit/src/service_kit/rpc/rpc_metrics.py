"""The usual metrics of gRPC servers, which existing dashboards show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

_LABELS = ["grpc_type", "grpc_service", "grpc_method"]
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
Count = Callable[[], None]
_CODES: dict[Any, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_CODES |= {code: code for code in grpc.StatusCode}
_CODES[None] = grpc.StatusCode.OK


def status_code(code: Any) -> grpc.StatusCode:
    """Return the StatusCode for a result of `ServicerContext.code()`: a code, its number, or 0 or None if
    unset.
    """
    return _CODES.get(code, grpc.StatusCode.UNKNOWN)


class RpcMetrics:
    """The metrics of one registry. Create one object for each registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._started = Counter(
            "grpc_server_started", "RPCs started on the server.", _LABELS, registry=registry
        )
        self._handled = Counter(
            "grpc_server_handled",
            "RPCs completed on the server, by code.",
            [*_LABELS, "grpc_code"],
            registry=registry,
        )
        self._received = Counter(
            "grpc_server_msg_received",
            "Messages received from clients; one for a unary call.",
            _LABELS,
            registry=registry,
        )
        self._sent = Counter(
            "grpc_server_msg_sent",
            "Messages sent to clients; one for a unary call that succeeded.",
            _LABELS,
            registry=registry,
        )
        self._seconds = Histogram(
            "grpc_server_handling_seconds",
            "Seconds from the start of an RPC to its end; for a stream, how long it lasted.",
            _LABELS,
            registry=registry,
            buckets=_BUCKETS,
        )

    def method(self, grpc_type: str, service: str, method: str) -> MethodMetrics:
        """Return the metrics of one method; the labels are looked up only here."""
        labels = (grpc_type, service, method)
        counters = (self._started, self._received, self._sent)
        started, received, sent = (counter.labels(*labels).inc for counter in counters)
        return MethodMetrics(
            started, received, sent, self._seconds.labels(*labels).observe, self._handled, labels
        )


class MethodMetrics:
    """Counts the RPCs of one method, and their messages."""

    def __init__(
        self,
        started: Count,
        received: Count,
        sent: Count,
        observe_seconds: Callable[[float], None],
        handled: Counter,
        labels: tuple[str, str, str],
    ) -> None:
        self.started = started
        self.received = received
        self.sent = sent
        self._observe = observe_seconds
        self._handled = handled
        self._labels = labels
        self._by_code = {grpc.StatusCode.OK: handled.labels(*labels, _camel(grpc.StatusCode.OK)).inc}

    def finished(self, code: grpc.StatusCode, seconds: float) -> None:
        """Count an RPC that ended with `code` after `seconds`."""
        count = self._by_code.get(code)
        if count is None:
            count = self._by_code[code] = self._handled.labels(*self._labels, _camel(code)).inc
        count()
        self._observe(seconds)


def _camel(code: grpc.StatusCode) -> str:
    """Return the code as go-grpc-prometheus and its dashboards spell it: `NotFound`, `Canceled`."""
    spelled = {grpc.StatusCode.OK: "OK", grpc.StatusCode.CANCELLED: "Canceled"}
    return spelled.get(code) or code.name.title().replace("_", "")
