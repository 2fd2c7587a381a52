"""The built-in handlers: every worker has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from workflow_worker.handlers import basic
from workflow_worker.handlers.http_request import make_http_request


def built_in_handlers(http_allow: Sequence[str], http_max_bytes: int) -> list[Callable[..., Awaitable[Any]]]:
    """Return the handlers. `http.request` may reach `http_allow`, and accepts bodies of `http_max_bytes`."""
    return [basic.noop, basic.sleep, basic.fail, make_http_request(http_allow, http_max_bytes)]
