"""The demo: accounts, sample conversations, a made-up year, and the guard of its door.

Imports both apps.
"""
