"""Where calls go: the HTTP client, routes and models, and what is known of each upstream.

Imports providers and models.
"""
