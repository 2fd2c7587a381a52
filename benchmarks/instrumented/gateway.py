"""`workflow_gateway`, instrumented."""

from benchmarks.instrumented.launcher import launch

if __name__ == "__main__":
    launch("workflow_gateway")
