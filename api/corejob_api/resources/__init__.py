"""Falcon resources: what each URL answers."""
