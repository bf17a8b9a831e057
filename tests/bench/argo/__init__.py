"""Argo Workflows as a peer: its controller, built from its Go module, and single-pod workflows."""
