"""Everything in `reports/`: rows, baselines, closer looks, claims, figures and pages.

May use all rooms but `compare.publish`.
Used by nobody: `compare.publish` reads the `report.json` that it writes.
"""
