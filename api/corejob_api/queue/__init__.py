"""The queue and the catalogue."""
