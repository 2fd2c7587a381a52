"""A gateway that runs in the test's own loop: its servers, and its parts."""

from service_kit.process.service import Servers
from workflow_gateway.bootstrap import Gateway


class RunningGateway:
    """What tests see of it."""

    def __init__(self, gateway: Gateway, servers: Servers) -> None:
        self.grpc = servers.grpc
        self.http = servers.http
        self.feeds = gateway.feeds
        self.doorbell = gateway.doorbell
        self.watcher = gateway.watcher

    async def stop(self, grace_seconds: float) -> None:
        """Drain, as SIGTERM does, with this grace. HTTP answers until the test ends."""
        await self.grpc.stop(grace_seconds)
