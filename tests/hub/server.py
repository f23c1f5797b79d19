"""A Hugging Face Hub on loopback, with enough of its HTTP API for the real client's defaults.

Repositories, commits and large files are kept in memory; the names of Spaces begin with "spaces/".
Large files are received over Xet, the client's default (xorbs contain chunks, and shards list the
chunks of each file), or over Git LFS if HF_HUB_DISABLE_XET is set.  See huggingface.co/docs/xet and
git-lfs's batch API.

Each entry of `faults` is a part of a path and a status.  The next request whose path contains it is
answered with that status.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_canary_token_of_a_student"
LARGE = (".safetensors",)
# Faults that hang up instead of answering.
CUT = 0  # in the middle of the request, which has no effect
LOST = 1  # after the request has had its effect: its response is lost


@dataclass
class Repository:
    """The files of the latest commit by path, the ids of all commits, and texts of some."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return self.commits[-1]


class Hub:
    """The server and its data; `with Hub() as hub` runs it at `hub.url`."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}  # large files by sha256
        self.xorbs: dict[str, list[bytes]] = {}  # chunks by xorb
        self.requests: list[str] = []
        self.faults: list[tuple[str, int]] = []
        self.namespaces = {"student"}  # where the owner of TOKEN may write
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault(self, path: str) -> int | None:
        """Return the status with which this request fails, or None; each fault is used once."""
        for at, (part, status) in enumerate(self.faults):
            if part in path:
                del self.faults[at]
                return status
        return None

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> str:
        """Apply a commit's operations, and return its id."""
        repository = self.repositories[repo]
        description = ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                description = value.get("description", "")
            elif line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del repository.files[value["path"]]
        data = repr((len(repository.commits), sorted(repository.files.items())))
        repository.commits.append(hashlib.sha1(data.encode()).hexdigest())
        repository.descriptions[repository.head] = description
        return repository.head

    def add_shard(self, shard: bytes) -> None:
        """Assemble the files of a shard from the chunks in their xorbs."""
        at = 48  # after the header: tag, version, footer size
        while shard[at : at + 32] != b"\xff" * 32:
            flags, entries = struct.unpack_from("<II", shard, at + 32)
            at += 48
            content = b""
            for _ in range(entries):
                xorb = _hex(shard[at : at + 32])
                first, last = struct.unpack_from("<II", shard, at + 40)
                content += b"".join(self.xorbs[xorb][first:last])
                at += 48
            at += 48 * entries if flags & 0x8000_0000 else 0  # verification of each
            at += 48 if flags & 0x4000_0000 else 0  # the sha256, which we compute ourselves
            self.objects[hashlib.sha256(content).hexdigest()] = content


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    is_lost = False  # the response to the current request

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: Any = b"", **headers: str) -> None:
        if self.is_lost:
            self.close_connection = True
            self.connection.close()
            return
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _handle(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        status = hub.fault(path)
        if status == CUT:  # in the middle of what the client sends
            self.rfile.read(min(1000, int(self.headers.get("Content-Length") or 0)))
            self.close_connection = True
            self.connection.close()
            return
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.is_lost = status == LOST
        if status and not self.is_lost:
            return self._answer(status, {"error": "injected"}, Retry_After="0")
        for method, pattern, action in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method.split():
                if (
                    path.startswith("/api")
                    and self.headers.get("Authorization") != f"Bearer {TOKEN}"
                ):
                    return self._answer(401, {"error": "Invalid username or password."})
                return action(self, body, **found.groupdict())
        self._answer(404, {"error": f"no such route: {path}"}, X_Error_Code="EntryNotFound")

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815

    def _repository(self, repo: str) -> Repository | None:
        if repo not in self.hub.repositories:
            self._answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        return self.hub.repositories.get(repo)

    def whoami(self, body: bytes) -> None:
        role = {"type": "access_token", "accessToken": {"role": "write"}}
        self._answer(200, {"type": "user", "name": "student", "orgs": [], "auth": role})

    def create(self, body: bytes) -> None:
        """Create a repository; the Hub gives a new Space a card with what it is built with."""
        asked = json.loads(body)
        namespace = asked.get("organization") or "student"
        if namespace not in self.hub.namespaces:
            return self._answer(403, {"error": f"You don't have the rights under {namespace}"})
        repo = f"{namespace}/{asked['name']}"
        if asked.get("type") == "space":
            repo = f"spaces/{repo}"
        url = {"url": f"{self.hub.url}/{repo}"}
        if repo in self.hub.repositories:
            return self._answer(409, url | {"error": "You already created this model repo"})
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[repo] = Repository(bool(private))
        files = {".gitattributes": b""}
        if asked.get("type") == "space":
            files["README.md"] = f"---\nsdk: {asked['sdk']}\n---\n".encode()
        self.hub.repositories[repo].files = files
        self.hub.repositories[repo].titles[self.hub.commit(repo, [])] = "initial commit"
        self._answer(200, url)

    def info(self, body: bytes, repo: str, revision: str = "main") -> None:
        if repository := self._repository(repo):
            files = [{"rfilename": path} for path in repository.files]
            self._answer(
                200,
                {
                    "id": repo,
                    "sha": repository.head,
                    "siblings": files,
                    "private": repository.private,
                },
            )

    def commits(self, body: bytes, repo: str, revision: str) -> None:
        """List the commits up to `revision`, the newest first."""
        if repository := self._repository(repo):
            commits = repository.commits
            last = len(commits) if revision == "main" else commits.index(revision) + 1
            self._answer(
                200,
                [
                    {
                        "id": commit,
                        "title": repository.titles.get(commit, "another commit"),
                        "message": repository.descriptions.get(commit, ""),
                        "authors": [{"user": "student"}],
                        "date": "2026-01-01T00:00:00.000Z",
                    }
                    for commit in reversed(commits[:last])
                ],
            )

    def tree(self, body: bytes, repo: str, revision: str) -> None:
        if repository := self._repository(repo):
            self._answer(
                200,
                [
                    {"type": "file", "path": path, "size": len(data), "oid": _git_oid(data)}
                    for path, data in repository.files.items()
                ],
            )

    def preupload(self, body: bytes, repo: str) -> None:
        if repository := self._repository(repo):
            self._answer(
                200,
                {
                    "files": [
                        {
                            "path": path,
                            "shouldIgnore": False,
                            "uploadMode": "lfs" if path.endswith(LARGE) else "regular",
                            "oid": _oid(path, repository.files[path])
                            if path in repository.files
                            else None,
                        }
                        for path in (file["path"] for file in json.loads(body)["files"])
                    ]
                },
            )

    def commit(self, body: bytes, repo: str) -> None:
        if repository := self._repository(repo):
            lines = [json.loads(line) for line in body.splitlines()]
            parent = lines[0]["value"].get("parentCommit")
            if repo.removeprefix("spaces/").split("/")[0] not in self.hub.namespaces:
                return self._answer(403, {"error": "You don't have the rights"})
            if parent and parent != repository.head:
                return self._answer(412, {"error": "A commit has happened since. Please refresh"})
            commit = self.hub.commit(repo, lines)
            url = f"{self.hub.url}/{repo}/commit/{commit}"
            self._answer(200, {"success": True, "commitOid": commit, "commitUrl": url})

    def resolve(self, body: bytes, repo: str, revision: str, path: str) -> None:
        repository = self._repository(repo)
        if not repository:
            return
        if repository.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        if path not in repository.files:
            return self._answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=repository.head)
        data = repository.files[path]
        self._answer(200, data, ETag=f'"{_oid(path, data)}"', X_Repo_Commit=repository.head)

    def xet_token(self, body: bytes, repo: str) -> None:
        self._answer(200, {"casUrl": self.hub.url, "exp": 2**33, "accessToken": "xet"})

    def xorb(self, body: bytes, name: str) -> None:
        self.hub.xorbs[name] = _chunks(body)
        self._answer(200, {"was_inserted": True})

    def shard(self, body: bytes) -> None:
        self.hub.add_shard(body)
        self._answer(200, {"result": 1})

    def lfs_batch(self, body: bytes, repo: str) -> None:
        self._answer(
            200,
            {
                "transfer": "basic",
                "objects": [
                    {"oid": each["oid"], "size": each["size"]}
                    | (
                        {}
                        if each["oid"] in self.hub.objects
                        else {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
                    )
                    for each in json.loads(body)["objects"]
                ],
            },
        )

    def lfs_upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._answer(422, {"error": "wrong checksum"})
        self.hub.objects[oid] = body
        self._answer(200)


REPO = r"(?P<repo>(spaces/)?[^/]+/[^/]+)"
API = rf"/api/(models/)?{REPO}"  # of a model, /api/models/OWNER/NAME; of a Space, /api/spaces/...
ROUTES = (
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", lambda handler, body: handler._answer(200, {})),
    ("POST", rf"{API}/preupload/main", _Handler.preupload),
    ("POST", rf"{API}/commit/main", _Handler.commit),
    ("GET", rf"{API}/xet-write-token/main", _Handler.xet_token),
    ("GET", rf"{API}/commits/(?P<revision>[^/]+)", _Handler.commits),
    ("GET", rf"{API}/tree/(?P<revision>[^/]+)", _Handler.tree),
    ("GET", rf"{API}(/revision/(?P<revision>[^/]+))?", _Handler.info),
    (
        "GET HEAD",
        rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
        _Handler.resolve,
    ),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs_upload),
    ("POST", r"/v1/xorbs/default/(?P<name>[0-9a-f]{64})", _Handler.xorb),
    ("POST", r"/v1/shards", _Handler.shard),
    ("HEAD GET", r"/", lambda handler, body: handler._answer(200)),
)


def _oid(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if path.endswith(LARGE) else _git_oid(data)


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _hex(hash_bytes: bytes) -> str:
    """Return a hash as hex digits; Xet writes it as four little-endian 64-bit numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", hash_bytes))


def _chunks(xorb: bytes) -> list[bytes]:
    """Return the decompressed chunks of a serialized xorb, without its optional footer."""
    import lz4.frame  # which make test-all installs

    chunks, at = [], 0
    while at + 8 <= len(xorb) and xorb[at] == 0 and xorb[at : at + 7] != b"XETBLOB":
        packed = int.from_bytes(xorb[at + 1 : at + 4], "little")
        scheme = xorb[at + 4]
        size = int.from_bytes(xorb[at + 5 : at + 8], "little")
        data = xorb[at + 8 : at + 8 + packed]
        if scheme:
            data = lz4.frame.decompress(data)
        if scheme == 2:  # bytes 0, 4, 8, ... first, then 1, 5, 9, ...: back into their places
            parts, rest = [], data
            for group in range(4):
                length = (size - group + 3) // 4
                parts.append(rest[:length])
                rest = rest[length:]
            data = bytes(parts[at % 4][at // 4] for at in range(size))
        assert len(data) == size
        chunks.append(data)
        at += 8 + packed
    return chunks
