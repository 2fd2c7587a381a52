"""The settings of the worker."""

from __future__ import annotations

from service_kit.process.addresses import PeerAddress
from service_kit.process.settings import LogSettings, ServerSettings, setting
from service_kit.tools.word_lists import NAME_PATTERN, ModuleList, NameList


class WorkerSettings(ServerSettings, LogSettings):
    """The settings that `python -m workflow_worker` reads from the environment."""

    orchestrator_address: PeerAddress = setting(
        "127.0.0.1:7012", "the orchestrator: `host:port` or `dns:///name:port`"
    )
    worker_id: str | None = setting(
        None,
        "a name that people recognise, at most 128 characters; unset: host name and process id",
        prefixed=True,
        max_length=128,
    )
    namespace: str = setting("default", "the namespace it serves", prefixed=True, pattern=f"^{NAME_PATTERN}$")
    queues: NameList = setting(
        "", "the queues it serves, separated by commas; unset: the default queue", prefixed=True
    )
    worker_modules: ModuleList = setting("", "Python modules with task handlers, separated by commas")
    slots: int = setting(
        100, "tasks of async handlers that it runs at the same time", prefixed=True, ge=1, le=10_000
    )
    child_processes: int | None = setting(
        None,
        "processes that run sync handlers; unset: one per processor",
        prefixed=True,
        ge=1,
        le=1_000,
    )
    shutdown_grace: float = setting(
        20.0,
        "seconds for tasks to finish after SIGTERM; handing back the others takes up to 8 s more",
        aliases=("SHUTDOWN_GRACE_SECONDS",),
        ge=0,
        le=3600,
    )
    http_request_allow: str = setting(
        "",
        "hosts that `http.request` may reach, as globs separated by commas; these may be private."
        " Unset: every public address",
        max_length=32_768,
    )
    http_request_max_bytes: int = setting(
        786_432, "the largest response body that `http.request` accepts, in bytes", ge=1, le=1_000_000
    )
