"""A process with a fake orchestrator that always has leases for `echo`. It prints its port and runs until
killed.
"""

import asyncio
import sys

from workflow_sdk.testing import FakeOrchestrator
from workflowsystem.worker.v1 import worker_service_pb2 as messages


async def main(port: int) -> None:
    orchestrator = FakeOrchestrator()
    orchestrator.port = port
    await orchestrator.start()
    sys.stdout.write(f"{orchestrator.port}\n")
    sys.stdout.flush()
    while True:
        for session in orchestrator.sessions:
            if session.open and session.credits > 0:
                leases = [orchestrator.lease("echo", 1) for _ in range(session.credits)]
                session.credits = 0
                session.say(leases=messages.Leases(leases=leases))
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
