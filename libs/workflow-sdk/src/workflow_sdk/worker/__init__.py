"""The runtime of workers. `runtime.Worker` is the way in; child processes import only `child_main`."""
