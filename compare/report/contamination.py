"""Has a base read the test text?  How often each model repeats it word for word.

A base from the web may have read the test split before it was fine-tuned.  Nobody here can look
into its pretraining data, but a model that knows a passage by heart gives itself away: prompted
with the passage's beginning, it continues with the passage's own words.  Three things stand beside
its rate on the test split:

- its rate on the validation split, which a reader of the whole corpus would know just as well;
- its rate on the test split's lines in shuffled order.  Every line may be known, but nobody can
  have read one after another, so matches there are due to chance or set phrases;
- the rates of the scratch models, which have read only the training split, so that whatever they
  get right can be guessed from the text before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from compare.corpus import Corpus
from compare.kinds import BaseKind, ContaminationText, RowKind, Track
from compare.report.candidates import Candidate
from compare.report.results import Contamination, VerbatimRate, VerbatimRates
from compare.report.word_classes import SPEAKER
from compare.ruler import verbatim
from compare.ruler.intervals import LEVEL
from compare.ruler.verbatim import CONTINUATION_TOKENS
from compare.runs.kept import KeptModel

MIN_PROMPTS = 10  # with fewer, a rate says nothing
TEST, VALIDATION, SHUFFLED = ContaminationText
STAND_IN = BaseKind.STAND_IN
SEED = 1
# A line, without the whitespace around it, or 80 characters of a longer one up to a space, or 80
# characters of a longer word.
PIECE = re.compile(r"\S(?:[^\n]{0,78}\S)?(?!\S)|\S{1,80}")


def texts_to_repeat(corpus: Corpus) -> dict[ContaminationText, str]:
    """Return the texts that models are tested on, the shuffled one as a text that none has read."""
    return {
        TEST: corpus.test,
        VALIDATION: corpus.validation,
        SHUFFLED: shuffle_lines(corpus.test),
    }


def summarize(
    rates: Sequence[VerbatimRates], best_scratch: str, is_tiny_shakespeare: bool
) -> Contamination | None:
    """Return what `rates` show, or None if they have no base.

    The bases are in the order of the report, which is about the first.  `best_scratch` is the name
    of the scratch model that they are compared with.
    """
    bases = [model for model in rates if model.base_kind]
    if not bases:
        return None
    scratch = [model for model in rates if not model.base_kind]
    compared_with = next((model for model in scratch if model.name == best_scratch), None)
    first, *others = bases
    return Contamination(
        continuation_tokens=CONTINUATION_TOKENS,
        models=[*bases, *scratch],
        paragraph=describe(first, compared_with, is_tiny_shakespeare),
        other_bases=[describe_other(base, compared_with, is_tiny_shakespeare) for base in others],
    )


def measure_rates(
    candidate: Candidate, kept: KeptModel, texts: Mapping[ContaminationText, str]
) -> VerbatimRates | None:
    """Measure how often a model repeats `texts` word for word: a base, or the best run of a row.

    Returns None for what the GPT-2 track has trained, which has read the text or knows little else;
    also if the model's context is too short for a prompt, or a text for MIN_PROMPTS prompts.
    """
    if candidate.track is not Track.SCRATCH and candidate.kind is not RowKind.ZERO_SHOT:
        return None
    try:
        prompt = verbatim.prompt_tokens(kept.model)
    except ValueError:
        return None
    lengths = {
        kind: kept.repeated_tokens(text, f"{candidate.name}, {kind}")
        for kind, text in texts.items()
    }
    if min(map(len, lengths.values())) < MIN_PROMPTS:
        return None
    test = texts[TEST]
    characters_per_token = len(test) / kept.count_tokens(test)
    return VerbatimRates(
        name=candidate.name,
        base_kind=candidate.base.kind if candidate.base else None,
        prompt_tokens=prompt,
        continuation_characters=CONTINUATION_TOKENS * characters_per_token,
        rates={kind: rate(each) for kind, each in lengths.items()},
    )


def rate(lengths: np.ndarray) -> VerbatimRate:
    """Summarize how many tokens are repeated after each prompt, (prompts,); at least one."""
    repeated = int((lengths == CONTINUATION_TOKENS).sum())
    interval = stats.binomtest(repeated, len(lengths)).proportion_ci(LEVEL)
    return VerbatimRate(
        prompts=len(lengths),
        repeated=repeated,
        share=repeated / len(lengths),
        ci95=(float(interval.low), float(interval.high)),
        mean_tokens=float(lengths.mean()),
    )


def describe(base: VerbatimRates, scratch: VerbatimRates | None, is_tiny_shakespeare: bool) -> str:
    """Return in plain words what was found, and what the comparison can and cannot say.

    `scratch` is the scratch model that the base is compared with, if it was measured.
    """
    sentences = [_describe_rate(base, is_tiny_shakespeare)]
    if scratch:
        sentences.append(
            f"{scratch.name}, which cannot know this text, was prompted in the same way, with "
            f"{scratch.prompt_tokens} tokens of its own tokenizer, and continued "
            f"{_repeated(scratch)} passages exactly."
        )
    if base.base_kind is STAND_IN:
        plays = "other plays by the same author" if is_tiny_shakespeare else "these plays"
        sentences.append(
            f"The comparison shows what pretraining on {plays} gains on this text, and not what "
            "pretraining on any other text would."
        )
    else:
        sentences += [
            _judge(base, scratch),
            "The comparison therefore shows what one gains by fine-tuning such a base on this text "
            "instead of training from scratch. It does not show how much of this comes from "
            "knowing the language, and how much from having read this very text.",
        ]
    return " ".join(sentences)


def describe_other(
    base: VerbatimRates, scratch: VerbatimRates | None, is_tiny_shakespeare: bool
) -> str:
    """Return what was found about a base that the report's answer is not about."""
    found = _describe_rate(base, is_tiny_shakespeare)
    if base.base_kind is STAND_IN:
        return found
    return f"{found} {_judge(base, scratch)}"


def _describe_rate(base: VerbatimRates, is_tiny_shakespeare: bool) -> str:
    """Say what is known about the base's pretraining data, and how often it repeats the test."""
    low, high = base.rates[TEST].ci95
    match base.base_kind, is_tiny_shakespeare:
        case BaseKind.STAND_IN, True:
            known = "has not: it was pretrained only on 29 other plays by the same author"
        case BaseKind.STAND_IN, False:
            known = "was pretrained only on 29 plays of Shakespeare"
        case _, True:
            known = (
                "may have: text from the web, on which such models are pretrained, almost "
                "certainly includes Shakespeare"
            )
        case _:
            known = "may have: whether its pretraining data includes this text is not known here"
    return (
        f"{_base_name(base)} {known}. Prompted with {base.prompt_tokens} tokens of the test text "
        f"at a time, it continued {_repeated(base)} passages with exactly the next "
        f"{CONTINUATION_TOKENS} tokens (95% interval: {_percent(low)} to {_percent(high)} of such "
        "passages)."
    )


def _repeated(model: VerbatimRates) -> str:
    rate = model.rates[TEST]
    return f"{rate.repeated or 'none'} of {rate.prompts}"


def _percent(share: float) -> str:
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def _judge(base: VerbatimRates, scratch: VerbatimRates | None) -> str:
    """Say what the rates show about a base that may have read the test split, and no more.

    It knew parts of the text if its interval lies above those of what can only be guessed.
    """
    guessed = [base.rates[SHUFFLED]] + ([scratch.rates[TEST]] if scratch else [])
    if all(base.rates[TEST].ci95[0] > each.ci95[1] for each in guessed):
        return (
            "This is more than can be guessed: in all likelihood, "
            f"{_base_name(base)} knew parts of this text by heart."
        )
    return (
        f"This shows neither that {_base_name(base)} has read this text nor that it has not: "
        "a model can have read a text without knowing it by heart."
    )


def _base_name(base: VerbatimRates) -> str:
    """Return the name of a base, without the kind of its row."""
    return base.name.removesuffix(f" {RowKind.ZERO_SHOT}")


def shuffle_lines(text: str) -> str:
    """Return `text` with its lines in another order, the same on every call.

    Speakers' names change places among themselves, and so do all other lines, so that the text
    still looks like what it is.  No line follows the one that it follows in `text`.  Lines of more
    than 80 characters are cut into pieces, which change places like lines.
    """
    rng = np.random.default_rng(SEED)
    speaker_starts = {match.start() for match in SPEAKER.finditer(text)}
    speakers: list[str] = []
    lines: list[str] = []
    for match in PIECE.finditer(text):
        (speakers if match.start() in speaker_starts else lines).append(match[0])
    new_speakers, new_lines = (
        iter([pieces[index] for index in _order_without_neighbors(len(pieces), rng)])
        for pieces in (speakers, lines)
    )
    return PIECE.sub(
        lambda match: next(new_speakers if match.start() in speaker_starts else new_lines), text
    )


def _order_without_neighbors(number: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random order of 0 .. `number` - 1 in which i + 1 never follows i.

    About one in e orders is such, so few are drawn.
    """
    while True:
        order = rng.permutation(number)
        if not (np.diff(order) == 1).any():
            return order
