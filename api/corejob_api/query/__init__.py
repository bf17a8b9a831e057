"""Filters, sort orders and searches over documents, with MongoDB's semantics."""
