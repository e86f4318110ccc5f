"""The demo upstream, a server of its own process with no model behind it.

Imports nothing of the gateway's, and production never imports it.
"""
