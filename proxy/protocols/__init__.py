"""What upstreams and callers say to each other, read and written. Pure: it knows no socket, no row.

May import `conversations.record` and `conversations.shape`, and nothing of `proxy`.
"""
