"""What callers may take of the gateway at one time.

Imports faults, and no other folder.
"""
