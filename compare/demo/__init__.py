"""Both models side by side in the browser: they continue a prompt, and read a text.

May import the modules directly in `compare`, and `compare.corpus`, `compare.ruler`,
`compare.runs` and `compare.report`.
No other package imports it.

Everything is served from this machine.  Gradio is optional: only `offline.py`, `page.py`,
`theme.py` and `server.py` import it, and `demo.lock` pins what it needs beyond requirements.lock.

    sides.py    the models, by default the newest of each track
    limits.py   how much may be asked at once
    turns.py    the models write at the same time, one token each
    writing.py  continuations, and what they copy from the training text
    reading.py  the surprisal of each token of a text
    markup.py   texts and results as HTML
    answers.py  what the page shows after a click
    stops.py    numbers requests, and ends them after Stop
    offline.py  imports Gradio, and keeps it from using the network
    page.py     the page and its controls
    theme.py    fonts and colors
    ports.py    finds a free port
    server.py   serves the page on this machine
"""
