"""A conversation as a person reads it: pages, turns, Markdown, files, and its owner's download.

Imports the record, search and people; knows no exports and no review desk.
"""
