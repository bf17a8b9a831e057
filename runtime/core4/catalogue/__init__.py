"""Find the jobs of a package and write them as CoreJobTemplate manifests."""
