"""What operators look at: doctor, health, metrics, logs, backup, processes.

Imports both apps and the embedded server.
"""
