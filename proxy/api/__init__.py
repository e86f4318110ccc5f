"""What programs call: OpenAI's paths, the classic gateway's, and REST of our own.

Imports the relay, the jobs and the record; knows no pages.
"""
