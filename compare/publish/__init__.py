"""Stage repositories for the Hugging Face Hub with their cards, push them, and verify the upload.

May import everything else in `compare`.
Only `compare.verify` imports it, to read cards.

    card.py      a model card's front matter, and ownership of a repository
    licenses.py  the license that a card may state
    staging.py   one staged directory per repository
    spaces.py    Spaces with the demo and with the report
    hub.py       uploads to the Hub, and reads back
    pushed.py    the commits that were pushed from here
"""
