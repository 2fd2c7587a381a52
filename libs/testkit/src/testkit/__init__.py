"""The foundation of the tests. The fixtures are in `testkit.plugin`."""

from testkit.clock import FakeClock
from testkit.eventually import eventually
from testkit.ports import free_port

__all__ = ["FakeClock", "eventually", "free_port"]
