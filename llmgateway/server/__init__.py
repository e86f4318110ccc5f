"""How gunicorn serves the gateway: its settings and its worker.

Imports the relay's watcher and the record's processes.
"""
