"""Staging stacks: the systems that drills are run against. A run imports the one that it uses; nothing is here."""
