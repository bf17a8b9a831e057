"""Jobs that come with core4."""
