"""Check one hand-in: load it, measure it, and compare it with what its card and record claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare import corpus as corpora
from compare.corpus import Corpus
from compare.corpus.encoding import encode
from compare.device import DeviceName, choose_device
from compare.errors import Failure, Misuse
from compare.kinds import Track
from compare.ruler.scoring import start_token
from compare.runs import models
from compare.runs.subjects import Subject
from compare.verify import calls, structure
from compare.verify.behavior import CAUSAL, LARGE_MODEL, REPEATABLE, ROWS, Behavior
from compare.verify.card import Card, check_card, read_card
from compare.verify.claims import Split, claims_of_card
from compare.verify.generation import MEMORIZATION, SAMPLE, check_generation
from compare.verify.leakage import UNSEEN, check_unseen
from compare.verify.points import (
    Assignment,
    Measurements,
    Point,
    Verdict,
    Verification,
    failed,
    not_checkable,
    passed,
)
from compare.verify.provenance import FROM_SCRATCH, adapted_model, check_provenance
from compare.verify.range_coding import BYTES, check_bytes
from compare.verify.scores import CLAIMS, RECORD, SCORE, Scores, Text
from compare.verify.structure import Origin
from compare.verify.training import check_training

LOADS = ("loads", "Loads and runs from its files")
TOKENIZER = ("tokenizer", "Tokenizer from transformers")
PointName = tuple[str, str]


@dataclass(frozen=True)
class Settings:
    """How hand-ins are checked."""

    corpus: Corpus | None
    """None for the text in a run's record, or else Tiny Shakespeare."""
    assignment: Assignment | None
    """None to go by the run's record, or else by the card."""
    trust_code: bool
    is_quick: bool
    characters_to_code: int | None
    """How many characters of the test split to code and decode, at most; None for no coding."""
    seed: int
    device: DeviceName


@dataclass(frozen=True)
class _Loaded:
    """A model that was loaded and called once."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    context_length: int
    point: Point


def verify(subject: Subject, settings: Settings) -> Verification:
    """Check all points of one hand-in.

    Raises Misuse if the text of a run is not available.
    """
    card = read_card(subject.card)
    corpus = settings.corpus or _corpus_of(subject)
    assignment = settings.assignment or _assignment_of(subject, card)
    # Without such a file, the checksum would be that of nothing, the same for all hand-ins.
    has_safetensors = any(subject.folder.glob("*.safetensors"))
    measured = Measurements(
        weights_sha256=models.weights_sha256(subject.folder) if has_safetensors else None
    )
    loaded = _load(subject, settings)
    if isinstance(loaded, _Loaded):
        points = _check_model(subject, card, loaded, corpus, assignment, settings, measured)
    else:
        points = _check_files(subject, loaded, assignment, settings)
    points += check_training(subject, card, assignment)
    points += check_card(subject, card, assignment)
    return Verification(
        subject.what,
        subject.kind,
        subject.description,
        assignment,
        measured,
        points,
        commit=subject.repository.commit if subject.repository else None,
    )


def _assignment_of(subject: Subject, card: Card) -> Assignment:
    """Return what the record or the card says was handed in; from scratch, if they do not say.

    An adapter is always of a fine-tuned model.
    """
    fine_tuned = card.is_of_fine_tuned or adapted_model(subject.folder) is not None
    if subject.run:
        fine_tuned = subject.run.record.track is Track.GPT2
    return Assignment.FINE_TUNED if fine_tuned else Assignment.SCRATCH


def _corpus_of(subject: Subject) -> Corpus:
    """Return the text that a run was trained on, or else Tiny Shakespeare."""
    if not subject.run:
        return corpora.load("tiny-shakespeare")
    try:
        return corpora.load(str(subject.run.record.config["corpus"]))
    except Misuse as error:
        raise Misuse(f"{subject.what} was trained on a text that is not here: {error}") from None


def _load(subject: Subject, settings: Settings) -> _Loaded | Point:
    """Load the model; if that is impossible, return the point that says why."""
    folder = subject.folder
    if (base := adapted_model(folder)) is not None:  # which transformers would load with it
        return not_checkable(
            *LOADS,
            f"this is an adapter of {base}: merge it (merge_and_unload) and save the result, with "
            "save_pretrained, in another directory",
        )
    try:
        model, tokenizer = models.load(
            folder, device=choose_device("cpu"), trust_code=settings.trust_code
        )
        context = calls.prepare(model)
        # As in `compare.runs.models`: the decorated `to` has no type that fits.
        cast(Any, model).to(choose_device(settings.device))
    except models.ForeignCode:
        return not_checkable(
            *LOADS,
            f"it needs its own code ({_name_code(folder)}), which was not run: read it, then add "
            "--trust-code, which lets it do whatever you can do",
        )
    except calls.BadForward as error:
        return failed(*LOADS, str(error))
    except Failure as error:
        if not any(folder.glob("*.safetensors")):
            return not_checkable(
                *LOADS, "there are no weights in safetensors format: save with save_pretrained"
            )
        if models.read_config(folder).get("model_type") is None:
            return not_checkable(
                *LOADS,
                "config.json names no model_type, so the model cannot be rebuilt from its weights: "
                "make the model a PreTrainedModel, and save it with save_pretrained",
            )
        if subject.repository and subject.repository.is_from_cache:  # which may lack files
            return not_checkable(
                *LOADS, f"{error} (from the cache): try again when the Hub can be reached"
            )
        return failed(*LOADS, str(error))
    code = f"code of {structure.describe_origin(type(model))}"
    if structure.origin_of(type(model)) is Origin.OWN:
        code = "this project's code"
        if not models.has_own_code(folder):
            code = f"its own code ({_name_code(folder)}), which was run and can do anything"
    point = passed(*LOADS, f"{type(model).__name__} from {code}; {context}")
    return _Loaded(model, tokenizer, context.tokens, point)


def _name_code(folder: Path) -> str:
    """Name the code beside the weights."""
    found = [f"{path.name}, {path.stat().st_size:,} bytes" for path in sorted(folder.glob("*.py"))]
    return "; ".join(found) or "in another repository"


def _check_files(
    subject: Subject, loading: Point, assignment: Assignment, settings: Settings
) -> list[Point]:
    """Check what can be seen without running the model."""
    is_scratch = assignment is Assignment.SCRATCH
    sizes = [structure.check_size_of_files(subject.folder)] if is_scratch else []
    names = [structure.DECODER, structure.TIED, TOKENIZER, REPEATABLE, CAUSAL, ROWS, SCORE]
    if is_scratch:
        names = [structure.BUILT, FROM_SCRATCH, *names]
    names += [RECORD if subject.run else CLAIMS, SAMPLE, MEMORIZATION, UNSEEN]
    names += [BYTES] if settings.characters_to_code else []
    skipped = [not_checkable(*name, "the model was not loaded") for name in names]
    return [loading, *sizes, *skipped]


def _check_model(
    subject: Subject,
    card: Card,
    loaded: _Loaded,
    corpus: Corpus,
    assignment: Assignment,
    settings: Settings,
    measured: Measurements,
) -> list[Point]:
    """Check all that the weights show, and write the numbers into `measured`."""
    model, tokenizer = loaded.model, loaded.tokenizer
    measured.parameters = structure.count_parameters(model)
    text = Text(corpus, settings.is_quick)
    measured.text = text.description
    problem = _why_not_scorable(tokenizer, text.split(Split.TEST))
    if problem:
        names = [REPEATABLE, CAUSAL, ROWS, SCORE, RECORD if subject.run else CLAIMS]
        names += [BYTES] if settings.characters_to_code else []
        measuring = [not_checkable(*name, problem) for name in names]
    else:
        measuring = _measure(subject, card, loaded, text, settings, measured)
    causal = {point.id: point.verdict for point in measuring}[CAUSAL[0]]
    is_causal = None if causal is Verdict.NOT_CHECKABLE else causal is Verdict.PASS
    points = [loaded.point]
    if assignment is Assignment.SCRATCH:
        points += [
            structure.check_size(model, subject.folder),
            structure.check_modules(model),
            check_provenance(model, tokenizer, corpus.train),
        ]
    generated = check_generation(model, tokenizer, corpus, settings.seed)
    measured.sample = generated.shown
    return [
        *points,
        structure.check_decoder_only(model, is_causal),
        structure.check_ties(model, models.read_config(subject.folder)),
        _check_tokenizer(tokenizer, problem),
        *measuring,
        *generated.points,
        check_unseen(model, tokenizer, text, generated.texts, measured, assignment),
    ]


def _why_not_scorable(tokenizer: PreTrainedTokenizerBase, text: str) -> str | None:
    """Return why no score can be computed with this tokenizer; None if one can."""
    try:
        start_token(tokenizer)
        if len(encode(tokenizer, text)[0]) < 2:
            return "the text is too short to score: give a longer --corpus"
    except (Failure, ValueError) as error:
        return str(error)
    return None


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase, problem: str | None) -> Point:
    """Check that the tokenizer is one of transformers."""
    name = type(tokenizer).__name__
    if structure.origin_of(type(tokenizer)) is not Origin.TRANSFORMERS:
        origin = structure.describe_origin(type(tokenizer))
        return failed(
            *TOKENIZER, f"{name} comes from {origin}: hand in a tokenizer class of transformers"
        )
    evidence = problem or "it gives the text back byte for byte"
    return passed(*TOKENIZER, f"{name}, {len(tokenizer):,} tokens; {evidence}")


def _measure(
    subject: Subject,
    card: Card,
    loaded: _Loaded,
    text: Text,
    settings: Settings,
    measured: Measurements,
) -> list[Point]:
    """Check how the model behaves on the text, score it, and compare the score with the claims."""
    model, tokenizer = loaded.model, loaded.tokenizer
    scores = Scores(model, tokenizer, text, subject.what)
    try:
        behavior = Behavior(
            model, tokenizer, text.split(Split.TEST), loaded.context_length, settings.seed
        )
        repeatable = behavior.check_repeatable()
        scores.of(Split.TEST)
    except Exception as error:  # code of the hand-in, on inputs that it has not seen before
        calls.raise_if_out_of_memory(error)
        reason = f"the model cannot be scored: {error}".splitlines()[0]
        names = [CAUSAL, REPEATABLE, ROWS, RECORD if subject.run else CLAIMS]
        names += [BYTES] if settings.characters_to_code else []
        return [failed(*SCORE, reason), *(not_checkable(*name, reason) for name in names)]
    if repeatable.verdict is Verdict.PASS:
        causal = _attempt(CAUSAL, lambda: behavior.check_causal(scores.of(Split.TEST)))
        rows = _attempt(ROWS, behavior.check_rows)
        repeatable = _attempt(REPEATABLE, behavior.check_repeatable)
    else:
        reason = "the same input does not give the same output, so nothing can be compared"
        causal, rows = not_checkable(*CAUSAL, reason), not_checkable(*ROWS, reason)
    behaves = [repeatable, causal, rows]
    is_meaningful = all(point.verdict is Verdict.PASS for point in behaves)
    metrics = scores.of(Split.TEST).metrics
    measured.bits_per_byte = metrics.bits_per_byte if is_meaningful else None
    measured.ci95 = scores.interval() if is_meaningful else None
    if is_meaningful and (measured.parameters or 0) <= LARGE_MODEL:
        try:
            validation = scores.of(Split.VALIDATION).metrics
            measured.validation_bits_per_byte = validation.bits_per_byte
            training = scores.of_training(settings.seed).metrics
            measured.training_bits_per_byte = training.bits_per_byte
        except Exception as error:  # the test split alone can be scored, too
            calls.raise_if_out_of_memory(error)
    points = [*behaves, scores.check_score(is_meaningful)]
    if subject.run:
        assert measured.parameters is not None
        points.append(scores.check_record(subject.run.record, measured.parameters))
    else:
        claims = claims_of_card(card.metadata, card.body, text.corpus)
        points.append(scores.check_claims(claims))
    if settings.characters_to_code:
        part = text.split(Split.TEST)[: settings.characters_to_code]
        described = f"the first {len(part):,} characters of the test split"
        points.append(check_bytes(model, tokenizer, part, loaded.context_length, described))
    return points


def _attempt(name: PointName, check: Callable[[], Point]) -> Point:
    """Return the point of `check`; it fails if the model cannot be called."""
    try:
        return check()
    except calls.BadForward as error:
        return failed(*name, str(error))
