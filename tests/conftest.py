"""Plug-ins of all test runs."""

pytest_plugins = [
    "tests.support.interrupts",
    "tests.support.left_out",
    "tests.support.on_cluster",
    "tests.support.suite",
]
