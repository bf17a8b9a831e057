"""The API for job authors."""
