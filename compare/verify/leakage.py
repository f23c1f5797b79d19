"""Does a model know the test split?  Its tokenizer, its scores and what it repeats tell.

A tokenizer can hold passages of the test split as tokens, and weights can be trained on them: both
give a score that the model could not reach on unseen text.  Weights that were trained on the test
split predict it better than text of the training split, or than the validation split, and can
continue its passages word for word.  If they have seen the test split only as often as the rest,
none of this need show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus import Corpus
from compare.corpus.encoding import encode
from compare.ruler import verbatim
from compare.verify.calls import raise_if_out_of_memory
from compare.verify.claims import Split
from compare.verify.points import Assignment, Measurements, Point, failed, not_checkable, passed
from compare.verify.scores import Text

UNSEEN = ("unseen", "Shows no sign that the test split was used")
# Tokenizers divide a text into words first, so that their tokens have no space between two words;
# those that do not do so have learned such tokens from the training split.
PASSAGE = 20  # characters
WORDS = 10
COPIED = 0.1  # of the sequences of WORDS words in samples; texts by one author share almost none
IMPLAUSIBLE = 0.5  # test score divided by validation score; the splits are about equally hard
# Test score divided by that of the training split, which is text that the model has seen: the test
# split costs more, unless it is much easier by itself, as the index at the end of a book may be.
KNOWN = 0.8
# Of the prompts from a split; models that have not seen it repeat none of 250.
REPEATED = 0.02
MIN_REPEATED = 2  # in a short split, one of few prompts would be more than that share


def check_unseen(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: Text,
    samples: Sequence[str],
    measured: Measurements,
    assignment: Assignment,
) -> Point:
    """Look for signs that a model has seen the test split of `text`.

    Some findings are only questions: signs that the validation split was used, and a test split
    that costs less than text of the training split, because it may be easier by itself (on Tiny
    Shakespeare, it is not).

    `samples` are texts that the model has written; `measured` has its scores of the splits, unless
    they could not be computed.  Without a score of the test split, the model is not prompted with
    its passages either: a model that sees the future would repeat all of them.

    What a pretrained model may have read before it was fine-tuned is a question, not a failure.
    """
    corpus = text.corpus
    passages = tokens_from_test(tokenizer, corpus)
    if passages:
        return failed(
            *UNSEEN,
            f"{len(passages)} of its tokens are passages of the test split that are not in the "
            f"training split, such as {passages[0][:60]!r}",
        )
    signs: list[str] = []
    questions: list[str] = []
    unchecked: list[str] = []
    evidence = [f"no token is a passage of the test split of {PASSAGE} characters"]
    if any(text.strip() for text in samples):
        for name, split, finding in (
            ("test", corpus.test, signs),
            ("validation", corpus.validation, questions),
        ):
            copied = _share_copied(samples, split, corpus.train)
            described = (
                f"{copied:.0%} of the sequences of {WORDS} words in the samples are in the {name} "
                "split and not in the training split"
            )
            (finding if copied >= COPIED else evidence).append(described)
    test = measured.bits_per_byte
    if test is None:
        unchecked.append(
            "whether it scores suspiciously well, or repeats passages of the test split, was not "
            "checked, because there is no score of the test split"
        )
    else:
        for name, other, share, finding in (
            ("validation", measured.validation_bits_per_byte, IMPLAUSIBLE, signs),
            (
                "as much of the training split",
                measured.training_bits_per_byte,
                KNOWN,
                signs if corpus.is_tiny_shakespeare else questions,
            ),
        ):
            if other is not None:
                described = f"test {test:.4f} bits/byte, {name} {other:.4f}"
                (finding if test < share * other else evidence).append(described)
        try:
            verbatim.prompt_tokens(model)
            prompted = list(Split)
        except ValueError as error:
            evidence.append(f"whether it repeats passages was not checked: {error}")
            prompted = []
        for split in prompted:
            label = f"prompts from the {split} split"
            try:
                repeated = repeat(model, tokenizer, text.split(split), corpus.train, label)
            except Exception as error:  # code of the hand-in
                raise_if_out_of_memory(error)
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                unchecked.append(f"whether it repeats {label} was not checked: {reason}")
                continue
            if repeated.prompts:
                # Repeating the validation split shows that it was used, and not the test split.
                is_sign = repeated.is_a_sign and split is Split.TEST
                is_question = repeated.is_a_sign and not is_sign
                found = signs if is_sign else questions if is_question else evidence
                found.append(f"of {label}, {repeated}")
    if not signs:
        if questions:
            return not_checkable(
                *UNSEEN,
                f"{'; '.join(questions)}: ask what it was trained on, and how it was chosen",
            )
        if unchecked:
            return not_checkable(*UNSEEN, "; ".join(unchecked))
        return passed(*UNSEEN, "; ".join(evidence))
    found_signs = "; ".join([*signs, *questions])
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


@dataclass(frozen=True)
class Repeated:
    """How many prompts from a split a model continues with the split's own words."""

    prompts: int
    repeated: int

    @property
    def is_a_sign(self) -> bool:
        """Whether a model that has not seen the split would hardly repeat as many."""
        return self.repeated >= max(MIN_REPEATED, REPEATED * self.prompts)

    def __str__(self) -> str:
        return (
            f"it continues {self.repeated} of {self.prompts} with exactly the next "
            f"{verbatim.CONTINUATION_TOKENS} tokens"
        )


def repeat(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    split: str,
    train: str,
    label: str | None = None,
) -> Repeated:
    """Prompt a model with passages of `split`, and count the continuations that it repeats exactly.

    Continuations that also occur in the training split `train`, or in their own prompts, do not
    count: a model can know them without having seen `split`.  `label` names a progress bar.

    Raises ValueError if the model's context is too short.
    """
    lengths = verbatim.repeated_tokens(model, tokenizer, split, label)
    prompt = verbatim.prompt_tokens(model)
    ids, byte_ends = encode(tokenizer, split)
    starts = verbatim.prompt_starts(len(ids), prompt)
    data, borders = split.encode(), [0, *byte_ends.tolist()]
    repeated = 0
    for start in starts[lengths == verbatim.CONTINUATION_TOKENS].tolist():
        middle = start + prompt
        end = middle + verbatim.CONTINUATION_TOKENS
        shown = data[borders[start] : borders[middle]].decode()
        continuation = data[borders[middle] : borders[end]].decode()
        is_copied = continuation in (shown + continuation)[:-1]  # also if the text is periodic
        repeated += not is_copied and continuation not in train
    return Repeated(len(starts), repeated)


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
