"""Stage repositories for the Hugging Face Hub with their cards, push them, and verify the upload.

May import the modules directly in `compare`, and `compare.corpus`, `compare.ruler`,
`compare.runs` and `compare.report`.
Only `compare.verify` imports it, to read cards.

    card.py      a model card's front matter, and ownership of a repository
    licenses.py  the license that a card may state, and license files to copy
    origin.py    the web address of this code
    staging.py   one staged directory per repository
    spaces.py    Spaces with the demo and with the report
    hub.py       uploads to the Hub, and reads back
"""
