"""Score the newest runs of both tracks on the test split and write `reports/`.

python -m compare.report                  # reports/report.html, report.md, report.json and more
python -m compare.report --open-sealed    # also score the sealed text: once, at the very end
"""

from __future__ import annotations

from dataclasses import dataclass

from compare import cli


@dataclass(frozen=True)
class ReportOptions:
    """Score the newest runs of both tracks on the test split and write reports/.

    Needs a complete run of each track, and replaces the files in reports/.
    """

    open_sealed: bool = False
    """Also score the sealed text, the rest of The Tempest, which no training and no choice has
    used. The report records when it was first opened, and all later reports score it, too; after
    that, no recipe may be changed."""
    sample_characters: int = 1000
    """Length of each model's sample for each prompt, in characters."""

    def __post_init__(self) -> None:
        cli.check(self, "sample_characters", 1, 100_000)


def main(options: ReportOptions) -> None:
    """Write `reports/`, one process at a time."""
    # Imported after --help is answered, because torch takes seconds to load.
    from compare.files import hold_lock
    from compare.report import pages
    from compare.report.assemble import assemble
    from compare.runs.writer import ROOT

    lock = hold_lock(ROOT / ".report.lock", str(pages.REPORTS))
    pages.write(assemble(options.open_sealed, options.sample_characters))
    lock.release()
    print(f"written: {pages.REPORTS}; open {pages.REPORTS / 'report.html'}")


if __name__ == "__main__":
    cli.run(main, cli.parse(ReportOptions))
