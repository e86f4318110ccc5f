"""What is brought in from elsewhere: a classic gateway's log, a company's directory.

Imports the record and the audit trail.
"""
