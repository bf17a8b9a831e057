"""Finds the jobs of a package and writes them as CoreJobTemplate manifests."""
