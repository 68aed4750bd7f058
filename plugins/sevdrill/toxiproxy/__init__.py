"""Toxiproxy: the guarded client of its HTTP API."""
