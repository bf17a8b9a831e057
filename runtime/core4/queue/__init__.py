"""What job authors import."""
