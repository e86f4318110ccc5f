"""What calls cost, and what models said of conversations: figures, roll-ups, charts.

Imports the record and people.
"""
