"""What all runs of the tests have."""

pytest_plugins = ["tests.support.left_out", "tests.support.on_cluster", "tests.support.suite"]
