"""Helpers of the test suites, the demo and the benchmark: clients of the service, and fakes."""
