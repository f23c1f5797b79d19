"""Score the newest runs of both tracks on the test split and write `reports/`.

python -m compare.report        # reports/report.html, report.md, report.json and more
"""

from __future__ import annotations

from dataclasses import dataclass

from compare import cli


@dataclass(frozen=True)
class ReportOptions:
    """Score the newest runs of both tracks on the test split and write reports/."""


def main(options: ReportOptions) -> None:
    from compare.report.results import report  # after --help, for which torch would take seconds

    report()


if __name__ == "__main__":
    cli.run(main, cli.parse(ReportOptions))
