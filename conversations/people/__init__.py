"""Who may see whom, and who looked: rights, aliases, the audit trail, the usage policy.

Imports the models and the shape of messages.
"""
