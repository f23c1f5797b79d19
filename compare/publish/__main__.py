"""Stage both models with their cards, and push them to the Hugging Face Hub.

python -m compare.publish           # runs/publish/<prefix>-scratch and <prefix>-fine-tuned
python -m compare.publish --push    # also upload them, verify the upload, and write a receipt
python -m compare.publish --push --space    # and two Spaces: the demo of both models, the report
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from compare import cli
from compare.publish import card


@dataclass(frozen=True)
class PublishOptions:
    """Stage both models with their cards, and with --push upload them to the Hub.

    Needs a report of the newest runs.
    """

    prefix: str = "tiny-shakespeare"
    """Prefix of the repository names <prefix>-scratch and <prefix>-fine-tuned."""
    namespace: str | None = None
    """User or organization on the Hub; by default, the logged-in user."""
    push: bool = False
    """Upload the models instead of only staging them; needs hf auth login."""
    space: bool = False
    """Also stage, and with --push upload, two Spaces: <prefix>-demo, which runs compare.demo with
    both models, and <prefix>-report, which shows the report.  Needs --push or --namespace, and
    excludes --private."""
    private: bool = False
    """With --push, make new repositories private; existing ones must be private already."""
    replace: bool = False
    """With --push, also replace repositories whose latest commit was not pushed from here, if their
    cards have this study's tag."""
    license: str | None = None
    """License to state in the cards, also without --push, of models whose license is not known; an
    identifier of the Hub, such as cc-by-4.0."""

    def __post_init__(self) -> None:
        if self.namespace is not None and not _is_hub_name(f"{self.namespace}/name"):
            raise ValueError(
                f"--namespace {self.namespace!r} is not a valid name of a user or organization"
            )
        if self.space and not (self.push or self.namespace):
            raise ValueError("--space needs the models' full names: add --namespace, or --push")
        if self.private and not self.push:
            raise ValueError("--private has no effect without --push: leave it out")
        if self.replace and not self.push:
            raise ValueError("--replace has no effect without --push: leave it out")
        if self.private and self.space:
            raise ValueError(
                "--space cannot be used with --private: the demo's Space could not download "
                "private models"
            )
        if not _is_hub_name(f"{self.namespace or 'owner'}/{self.prefix}-fine-tuned"):
            raise ValueError(
                f"--prefix {self.prefix!r} is not valid on the Hub: use up to 85 letters, digits, "
                "'-', '_' and '.', without '--' and '..', and begin with a letter or digit"
            )
        if self.license is not None and not re.fullmatch(card.LICENSE, self.license):
            raise ValueError(
                f"--license {self.license!r}: use an identifier of the Hub, such as cc-by-4.0"
            )


def _is_hub_name(name: str) -> bool:
    """Return whether the Hub accepts `name`, <namespace>/<repository>, as a name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


if __name__ == "__main__":
    options = cli.parse(PublishOptions)

from pathlib import Path

from compare.files import hold_lock
from compare.publish import hub, spaces
from compare.publish.spaces import Space
from compare.publish.staging import STAGED, require_report_of, result_of, stage
from compare.report import storage
from compare.report.results import Results
from compare.runs import find, receipt
from compare.runs.find import CompleteRun
from compare.runs.study import find_study


def publish(options: PublishOptions) -> None:
    """Stage the best run of each track, and with --space the Spaces; upload them with --push.

    Raises Misuse if the report does not cover the newest runs or a repository may not be replaced,
    and Failure if a model has changed, the upload fails, or its verification fails.
    """
    lock = hold_lock(STAGED / ".lock", str(STAGED))
    study = find_study()
    results = storage.read()
    require_report_of([run for group in study.groups for run in group.runs], results)
    namespace = options.namespace
    if options.push:
        user = hub.logged_in_user()
        namespace = namespace or user
    names = [f"{options.prefix}-{suffix}" for suffix in ("scratch", "fine-tuned")]
    repos = [f"{namespace}/{name}" if namespace else name for name in names]
    space_names = [f"{options.prefix}-{suffix}" for suffix in ("demo", "report")]
    if options.push:  # check all repositories before uploading to any
        for repo in repos:
            hub.head_of_own(repo, "model", options.private, options.replace)
        for name in space_names if options.space else []:
            hub.head_of_own(f"{namespace}/{name}", "space", options.private, options.replace)
    # Stage everything before uploading anything.
    models = []
    for name, repo, run in zip(names, repos, (study.best_scratch, study.best_gpt2), strict=True):
        folder = stage(STAGED / name, repo, run, results, options.license)
        models.append((run, repo, folder))
        print(f"staged {folder}")
    staged_spaces: list[Space] = []
    if options.space:
        demo, report = space_names
        corpus = "tiny-shakespeare" if results.is_tiny_shakespeare else None
        staged_spaces = [
            spaces.stage_demo(STAGED / demo, f"{namespace}/{demo}", repos, corpus),
            spaces.stage_report(STAGED / report, f"{namespace}/{report}", repos),
        ]
        for space in staged_spaces:
            print(f"staged {space.folder}")
    if options.push:
        for run, repo, folder in models:
            _upload(run, repo, folder, options, results)
        for space in staged_spaces:
            _upload_space(space, options)
        print("next: python -m compare.report, to include the links")
    else:
        command = cli.command_line("python -m compare.publish", replace(options, push=True))
        print(f"not uploaded; to upload: hf auth login, then {command}")
    lock.release()


def _upload(
    run: CompleteRun, repo: str, folder: Path, options: PublishOptions, results: Results
) -> None:
    """Push `folder` to `repo`, verify the upload, and record it in the receipt."""
    expected = result_of(run, results).test_slice
    text = find.corpus_of(run).test[: expected.chars]
    pushed = hub.push(folder, repo, options.private, replace=options.replace)
    bits = hub.read_back(repo, pushed.commit, folder, text, expected.bits_per_byte)
    receipt.note_verified(
        run,
        repo,
        url=pushed.url,
        commit=pushed.commit,
        slice_bits_per_byte=bits,
        private=pushed.is_private,
    )
    print(f"published {pushed.url} (commit {pushed.commit[:9]}), read back and scored")


def _upload_space(space: Space, options: PublishOptions) -> None:
    """Push a Space, and verify that its files have arrived.  The Hub then builds it."""
    pushed = hub.push(space.folder, space.repo, options.private, space.sdk, options.replace)
    hub.require_arrived(space.repo, pushed.commit, space.folder)
    print(f"published {pushed.url} (commit {pushed.commit[:9]})")


if __name__ == "__main__":
    cli.run(publish, options)
