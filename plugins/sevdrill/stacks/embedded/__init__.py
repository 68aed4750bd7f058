"""The embedded stack: the services of a Compose file as child processes, with nothing but Python and pip.

Nothing is imported here: the supervisor, a process of its own, must start quickly.
"""
