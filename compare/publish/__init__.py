"""Repositories for the Hugging Face Hub: staged with their cards, pushed, and read back.

May use all rooms.
Used by nobody.
"""
