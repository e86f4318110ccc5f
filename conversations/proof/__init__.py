"""Why a row can be trusted: seals, signed checkpoints, and the check of both.

Imports the models, the record and the ledger; what follows the log is handed to it.
"""
