"""What each kind of upstream speaks: a file a kind, of plain functions.

Imports faults and the shape of messages.
"""
