"""The built-in Toxiproxy: the HTTP API and the toxics of Toxiproxy 2.12 on plain asyncio, in a process of its own.

    http ─► api ─► proxies ─► links ─► stages        toxics, jsons: what they share

A *proxy* listens and dials; a *link* carries one direction of one connection; a *stage* is one toxic at work on one
link. Everything runs in one thread and no change waits for a connection, so the API cannot wedge.
"""
