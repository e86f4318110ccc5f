"""What people ask in the browser: chat, images, their keys, and an answer as it grows.

Imports the relay, and the pages of conversations.
"""
