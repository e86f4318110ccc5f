"""One call on its way: sent, passed on, watched, counted and closed.

Imports upstreams, providers and the record; knows no pages and no API.
"""
