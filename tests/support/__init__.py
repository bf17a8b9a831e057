"""What suites, demo and benchmark share: talking to a running service, or standing in for one."""
