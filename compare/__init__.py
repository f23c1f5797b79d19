"""Everything that both tracks share so that the comparison is fair, and the comparison itself.

The modules directly in this package import none of its subpackages; `compare.generate`, a command,
is the exception.  The tracks may import them and the subpackages `corpus`, `ruler` and `runs`.
This package imports neither track: it only reads what they leave in `runs/`.
"""
