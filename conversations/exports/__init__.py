"""Files that leave, chosen by a filter up to one seal, and what proves them.

Imports the record, proof, people, search and reading.
"""
