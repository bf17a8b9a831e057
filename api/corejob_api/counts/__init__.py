"""The queue's counts over time."""
