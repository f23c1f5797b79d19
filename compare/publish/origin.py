"""Where on the web the code of the study is, for cards."""

from __future__ import annotations

import re

from compare.runs import start

# A login before the host is left out.  URLs with a query or other characters are not shown: they
# may contain secrets, or break the card's Markdown.
HTTPS = re.compile(r"https://(?:[^/\s]*@)?([\w.-]+(?::\d+)?/[\w.~/-]+)", re.ASCII)
GITHUB_SSH = re.compile(
    r"(?:git@github\.com:|ssh://git@github\.com/)([\w.-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII
)


def study_address() -> str | None:
    """Return the web address of the repository of this code, if git knows one."""
    url = start.origin_url()
    return web_address(url) if url else None


def web_address(url: str) -> str | None:
    """Return the https address of the remote repository `url`, without a login.

    An address of GitHub for SSH is converted.  Returns None for any other, such as a local path.
    """
    if match := GITHUB_SSH.fullmatch(url):
        return f"https://github.com/{match[1]}"
    match = HTTPS.fullmatch(url)
    return f"https://{match[1]}" if match else None
