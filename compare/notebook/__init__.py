"""`reports/study.ipynb`: a notebook that walks through the study, from the clone to the upload.

May import the modules directly in `compare`.
No other package imports it.

    study.md    the text of the notebook: edit it here
    cells.py    turns Markdown into the cells of a notebook
"""
