"""A conversation as a person reads it: pages, turns, Markdown, files, and what its owner takes along.

Imports the record, search and people; knows no exports and no review desk.
"""
