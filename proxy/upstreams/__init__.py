"""Where calls go: the HTTP client, routes and models, and the state of each upstream.

Imports providers and models.
"""
