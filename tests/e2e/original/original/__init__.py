"""A project with the jobs of the original server's acceptance tests."""
