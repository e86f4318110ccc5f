"""What the worker asks models and sends to vendors: titles, assessments, submissions.

Imports the relay, upstreams and the record.
"""
