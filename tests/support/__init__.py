"""What the demo, the benchmark and the suite on the cluster share: talking to a running service."""
