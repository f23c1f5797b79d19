"""Does a model know the test split?  Its tokenizer, its samples and its scores tell.

A tokenizer can hold passages of the test split as tokens, and weights can be trained on them: both
give a score that the model could not reach on unseen text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedTokenizerBase

from compare.corpus import Corpus
from compare.verify.points import Assignment, Measurements, Point, failed, not_checkable, passed

UNSEEN = ("unseen", "Shows no sign that the test split was used")
# Tokenizers divide a text into words first, so that their tokens have no space between two words;
# those that do not do so have learned such tokens from the training split.
PASSAGE = 20  # characters
WORDS = 10
COPIED = 0.1  # of the sequences of WORDS words in samples; texts by one author share almost none
IMPLAUSIBLE = 0.5  # test score divided by validation score; the splits are about equally hard


def check_unseen(
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    samples: Sequence[str],
    measured: Measurements,
    assignment: Assignment,
) -> Point:
    """Look for signs that a model has seen the test split.

    `samples` are texts that the model has written; `measured` has its scores of both splits, unless
    they could not be computed.  What a pretrained model may have read before it was fine-tuned is a
    question, not a failure.
    """
    passages = tokens_from_test(tokenizer, corpus)
    if passages:
        return failed(
            *UNSEEN,
            f"{len(passages)} of its tokens are passages of the test split that are not in the "
            f"training split, such as {passages[0][:60]!r}",
        )
    signs: list[str] = []
    evidence = [f"no token is a passage of the test split of {PASSAGE} characters"]
    if any(text.strip() for text in samples):
        for name, split in (("test", corpus.test), ("validation", corpus.validation)):
            copied = _share_copied(samples, split, corpus.train)
            described = (
                f"{copied:.0%} of the sequences of {WORDS} words in the samples are in the {name} "
                "split and not in the training split"
            )
            (signs if copied >= COPIED else evidence).append(described)
    test, validation = measured.bits_per_byte, measured.validation_bits_per_byte
    if test is not None and validation is not None:
        described = f"test {test:.4f} bits/byte, validation {validation:.4f}"
        (signs if test < IMPLAUSIBLE * validation else evidence).append(described)
    if not signs:
        return passed(*UNSEEN, "; ".join(evidence))
    found_signs = "; ".join(signs)
    if assignment is Assignment.SCRATCH:
        return failed(*UNSEEN, f"{found_signs}: ask what it was trained on")
    return not_checkable(
        *UNSEEN, f"{found_signs}: ask what it was fine-tuned on, and what its base has read"
    )


def tokens_from_test(tokenizer: PreTrainedTokenizerBase, corpus: Corpus) -> list[str]:
    """Return the tokens of several words that occur in the test split alone, the longest first.

    They have at least PASSAGE characters.
    """
    found = set()
    for token in range(len(tokenizer)):
        text = str(tokenizer.decode([token])).strip()
        is_passage = len(text) >= PASSAGE and len(text.split()) > 1
        if is_passage and text in corpus.test and text not in corpus.train:
            found.add(text)
    return sorted(found, key=len, reverse=True)


def _share_copied(samples: Sequence[str], split: str, train: str) -> float:
    """Return the share of the samples' sequences of words that are in `split`, but not in `train`.

    Sequences do not extend over two samples.
    """
    written = [sequence for text in samples for sequence in _sequences(text)]
    # Only the sequences that the samples have are kept: those of a long text would fill the memory.
    of_samples = set(written)
    of_split = {sequence for sequence in _sequences(split) if sequence in of_samples}
    of_train = {sequence for sequence in _sequences(train) if sequence in of_split}
    copied = of_split - of_train
    return sum(sequence in copied for sequence in written) / max(1, len(written))


def _sequences(text: str) -> Iterator[tuple[str, ...]]:
    """Yield all sequences of WORDS words in `text`."""
    words = text.split()
    for start in range(len(words) - WORDS + 1):
        yield tuple(words[start : start + WORDS])
