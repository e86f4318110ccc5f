"""How each dialect says things: a request in the form of its record, a message in its segments.

It needs the standard library alone and imports nothing of ours but itself: the program that checks
an export can carry it. Pure, and it changes no value that it is given.
"""
