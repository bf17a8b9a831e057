"""Read the logs of pods, and turn their lines into records of the store."""
