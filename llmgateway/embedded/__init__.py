"""The PostgreSQL of the gateway's own, as a Django backend; and where else a database may be.

Imports nothing of the apps.
"""
