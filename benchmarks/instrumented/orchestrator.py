"""`execution_orchestrator`, instrumented."""

from benchmarks.instrumented.launcher import launch

if __name__ == "__main__":
    launch("execution_orchestrator")
