"""Incident drills for pytest."""
