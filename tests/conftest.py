"""Every test may use the fixtures of testkit: real servers, a database of its own, a clock that waits."""

pytest_plugins = ["testkit.plugin"]
