"""The worker. Begin with `runtime.Worker`; child processes import only `child_main`."""
