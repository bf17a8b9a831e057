"""Falcon resources: the handlers of the routes."""
