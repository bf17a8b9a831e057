"""The jobs of a small shop."""
