"""Stage repositories for the Hugging Face Hub with their cards, push them, and verify the upload.

May import everything else in `compare`.
No other package imports it.
"""
