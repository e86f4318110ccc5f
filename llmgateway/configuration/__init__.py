"""Settings: what there are (schema), what a value may be (kinds), what is in force (reading).

Imports nothing of ours: it is read before there are settings.
"""
