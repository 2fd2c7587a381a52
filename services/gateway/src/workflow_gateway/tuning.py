"""The periods and limits of the gateway that no operator sets: their usual values are the right ones.

Each class defines its own values, and says why. A test that cannot wait, or that needs a small limit, gives
others to the whole gateway here.
"""

from dataclasses import dataclass

from workflow_gateway.forwarder import READ_SECONDS
from workflow_gateway.watch.feeds import LOOK_SECONDS
from workflow_gateway.watch.kept import USUAL_LIMITS, KeptLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The limits and periods of the parts of one gateway."""

    kept: KeptLimits = USUAL_LIMITS
    look_seconds: float = LOOK_SECONDS
    read_seconds: float = READ_SECONDS


USUAL_TUNING = Tuning()
