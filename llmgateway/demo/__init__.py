"""The demo's accounts, sample conversations and made-up year; and that it answers this machine only.

Imports both apps.
"""
