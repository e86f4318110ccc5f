"""Finding: terms, the index of words, the box they are typed into, and the filters of the desk.

Imports the record and people.
"""
