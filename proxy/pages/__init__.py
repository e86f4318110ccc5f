"""The browser pages of the passage: chat, images, API keys, and an answer as it grows.

Imports the relay, and the pages of conversations.
"""
