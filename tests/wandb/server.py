"""A W&B server on loopback, with enough of its API for the real client's defaults.

The client creates a run with the GraphQL mutation `UpsertBucket`, sends rows of its files through
`file_stream`, and asks for an address for every other file, to which it then uploads it.  What it
sends is kept in memory.  Requests that the server does not know are listed in `unknown`.

Each entry of `faults` is a part of a request's name, such as "UpsertBucket" or "file_stream", or ""
for all of them, and what happens to such requests instead: a status, CUT or HANG.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

ENTITY = "student"
KEY = "wandb_canary_key_of_a_student".ljust(40, "0")
CUT = 0  # a fault that hangs up instead of answering
HANG = -1  # a fault that takes a request and never answers
Values = dict[str, Any]


@dataclass
class ServedRun:
    """What the client sent about one run."""

    about: Values = field(default_factory=dict)  # the variables of UpsertBucket
    streams: dict[str, dict[int, str]] = field(default_factory=dict)  # by file and line number
    files: dict[str, bytes] = field(default_factory=dict)  # uploaded ones, by name
    exit_code: int | None = None

    @property
    def history(self) -> list[Values]:
        """The rows passed to `run.log`, without W&B's own keys."""
        lines = self.streams.get("wandb-history.jsonl", {})
        rows = [json.loads(line) for _, line in sorted(lines.items())]
        return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]

    @property
    def summary(self) -> Values:
        lines = self.streams.get("wandb-summary.json", {0: "{}"})
        return json.loads(lines[max(lines)])

    @property
    def config(self) -> Values:
        config = json.loads(self.about["config"])
        return {key: item["value"] for key, item in config.items() if key != "_wandb"}

    @property
    def axes(self) -> dict[str, str]:
        """The key of the x-axis of each pattern of keys, as `define_metric` sets it.

        The client numbers the fields of its metrics: 2 is a pattern, and 5 the number of its axis.
        """
        metrics = json.loads(self.about["config"])["_wandb"]["value"]["m"]
        return {each["2"]: metrics[each["5"] - 1]["1"] for each in metrics if "2" in each}


@dataclass
class ServedArtifact:
    """What the client sent about one version of an artifact."""

    about: Values  # the input of CreateArtifact
    files: dict[str, bytes] = field(default_factory=dict)
    committed: bool = False

    @property
    def type(self) -> str:
        return self.about["artifactTypeName"]

    @property
    def name(self) -> str:
        return self.about["artifactCollectionName"]


class WandbServer:
    """The server and its data; `with WandbServer() as server` runs it at `server.url`."""

    def __init__(self) -> None:
        self.runs: dict[str, ServedRun] = {}  # by id
        self.artifacts: list[ServedArtifact] = []  # the id is the position
        self.requests: list[str] = []
        self.unknown: list[str] = []
        self.faults: dict[str, int] = {}
        self.faults_begin_after = ""  # a part of the name of the last request that is answered
        self.closed = threading.Event()
        self._uploads: list[tuple[dict[str, bytes], str]] = []  # where the n-th upload belongs
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"wandb": self})
        self._server = _QuietServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.environment = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def __enter__(self) -> WandbServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def note(self, request: str) -> int | None:
        """Return the fault of a request, or None, and remember the request."""
        began = any(self.faults_begin_after in earlier for earlier in self.requests)
        self.requests.append(request)
        faults = [fault for part, fault in self.faults.items() if part in request]
        return faults[0] if faults and (began or not self.faults_begin_after) else None

    def stream(self, run: ServedRun, sent: Values) -> None:
        """Keep the lines of a `file_stream` request: from line `offset` of each file.

        A file that is sent from its first line replaces the earlier one.  W&B's server does so too:
        "one offline run replaces another one" (github.com/wandb/wandb/issues/3841, also 5865).
        """
        for name, chunk in sent.get("files", {}).items():
            lines = run.streams.setdefault(name, {})
            if chunk["offset"] == 0:
                lines.clear()
            lines |= {chunk["offset"] + at: line for at, line in enumerate(chunk["content"])}
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]

    def upload(self, number: int, content: bytes) -> None:
        """Keep an uploaded file."""
        files, name = self._uploads[number]
        files[name] = content

    def _address(self, files: dict[str, bytes], name: str) -> str:
        """Return the address to which the client may upload `files[name]`."""
        with self._lock:
            self._uploads.append((files, name))
            return f"{self.url}/upload/{len(self._uploads) - 1}"

    # The answers to GraphQL's operations, see OPERATIONS.

    def features(self, asked: Values) -> Values:
        return {"serverInfo": {"features": []}}

    def organization(self, asked: Values) -> Values:
        return {"entity": None}

    def viewer(self, asked: Values) -> Values:
        viewer = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": viewer | {"teams": {"edges": []}}}

    def upsert_run(self, asked: Values) -> Values:
        run_id = asked["name"]
        with self._lock:
            is_new = run_id not in self.runs
            run = self.runs.setdefault(run_id, ServedRun())
            run.about |= {key: value for key, value in asked.items() if value is not None}
        bucket = {
            "id": run_id,
            "name": run_id,
            "displayName": run.about["displayName"],
            "description": None,
            "config": run.about["config"],
            "sweepName": None,
            "project": _project(run.about["project"]),
            "historyLineCount": None,  # a number tells the client to append
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}

    def create_files(self, asked: Values) -> Values:
        files = self.runs[asked["run"]].files
        urls = [{"name": name, "uploadUrl": self._address(files, name)} for name in asked["files"]]
        return {"createRunFiles": {"runID": asked["run"], "uploadHeaders": [], "files": urls}}

    def artifact_type(self, asked: Values) -> Values:
        return {"project": None}  # there is no artifact of this name yet

    def create_artifact(self, asked: Values) -> Values:
        with self._lock:
            self.artifacts.append(ServedArtifact(asked["input"]))
            artifact_id = str(len(self.artifacts) - 1)
        created = {"id": artifact_id, "state": "PENDING"}
        return {"createArtifact": {"artifact": created | {"artifactSequence": {}}}}

    def create_manifest(self, asked: Values) -> Values:
        return {"createArtifactManifest": {"artifactManifest": self._manifest(asked["artifactID"])}}

    def update_manifest(self, asked: Values) -> Values:
        manifest = self._manifest(asked["artifactManifestID"])
        return {"updateArtifactManifest": {"artifactManifest": manifest}}

    def _manifest(self, artifact_id: str) -> Values:
        url = self._address(self.artifacts[int(artifact_id)].files, "wandb_manifest.json")
        return {"id": artifact_id, "file": {"id": "1", "uploadUrl": url, "uploadHeaders": []}}

    def create_artifact_files(self, asked: Values) -> Values:
        nodes = [
            {
                "storagePath": file["name"],
                "uploadUrl": self._address(
                    self.artifacts[int(file["artifactID"])].files, file["name"]
                ),
                "uploadHeaders": [],
                "artifact": {"id": file["artifactID"]},
            }
            for file in asked["input"]["artifactFiles"]
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def commit_artifact(self, asked: Values) -> Values:
        artifact = self.artifacts[int(asked["artifactID"])]
        artifact.committed = True
        answer = {"id": asked["artifactID"], "digest": artifact.about["digest"]}
        return {"commitArtifact": {"artifact": answer}}

    def artifact(self, asked: Values) -> Values:
        artifact = self.artifacts[int(asked["id"])]
        project = _project(artifact.about["projectName"])
        answer = {
            "__typename": "Artifact",
            "id": asked["id"],
            "artifactSequence": {
                "__typename": "ArtifactSequence",
                "name": artifact.name,
                "project": project,
            },
            "versionIndex": 0,
            "artifactType": {"name": artifact.type},
            "description": None,
            "metadata": None,
            "ttlDurationSeconds": -1,
            "ttlIsInherited": False,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": sum(map(len, artifact.files.values())),
            "digest": artifact.about["digest"],
            "digestAlgorithm": artifact.about["digestAlgorithm"],
            "commitHash": None,
            "fileCount": len(artifact.files),
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": None,
            "aliases": [],
        }
        return {"artifact": answer}


OPERATIONS: dict[str, Callable[[WandbServer, Values], Values]] = {
    "ServerFeaturesQuery": WandbServer.features,
    "OrganizationCoreWeaveOrganizationID": WandbServer.organization,
    "Viewer": WandbServer.viewer,
    "UpsertBucket": WandbServer.upsert_run,
    "CreateRunFiles": WandbServer.create_files,
    "ArtifactType": WandbServer.artifact_type,
    "CreateArtifact": WandbServer.create_artifact,
    "CreateArtifactManifest": WandbServer.create_manifest,
    "UpdateArtifactManifest": WandbServer.update_manifest,
    "CreateArtifactFiles": WandbServer.create_artifact_files,
    "CommitArtifact": WandbServer.commit_artifact,
    "ArtifactByID": WandbServer.artifact,
}


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Print nothing: clients that are killed, or have enough, close their connections."""


class _Handler(BaseHTTPRequestHandler):
    wandb: WandbServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _handle(self) -> None:
        path = unquote(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = json.loads(body) if path == "/graphql" else {}
        found = re.search(r"(?:query|mutation) (\w+)", asked.get("query", ""))
        operation = found[1] if found else ""
        request = f"{self.command} {path} {operation}".rstrip()

        fault = self.wandb.note(request)
        if fault == HANG:
            self.wandb.closed.wait()
        if fault in (HANG, CUT):
            self.close_connection = True
        elif fault:
            self._answer(fault, {"errors": [{"message": "injected"}]})
        elif self.command == "HEAD":
            self._answer(200, {})
        elif path.startswith("/upload/"):  # its address is a secret; no key is needed
            self.wandb.upload(int(path.removeprefix("/upload/")), body)
            self._answer(200, {})
        elif self.headers.get("Authorization") != _basic_authorization("api", KEY):
            self._answer(401, {"errors": [{"message": "invalid API key"}]})
        elif operation in OPERATIONS:
            data = OPERATIONS[operation](self.wandb, asked.get("variables") or {})
            self._answer(200, {"data": data})
        elif stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            self.wandb.stream(self.wandb.runs[stream[1]], json.loads(body))
            self._answer(200, {})
        else:
            self.wandb.unknown.append(request)
            self._answer(404, {"errors": [{"message": f"unknown: {request}"}]})

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815


def _project(name: str) -> Values:
    return {"id": "1", "internalId": "1", "name": name, "entity": {"id": "1", "name": ENTITY}}


def _basic_authorization(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
