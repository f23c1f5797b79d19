"""A repository is downloaded from a Hub on loopback by the real client, and checked."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Place
from tests.hub.server import TOKEN, Hub, Repository


def test_a_repository_is_checked_and_its_pickles_are_not_even_downloaded(
    place: Place, hub: Hub, trained: Path, mini_text: Path
) -> None:
    files = {path.name: path.read_bytes() for path in trained.iterdir()}
    files |= {"training_args.bin": b"pickle", "README.md": b"# A model\n"}
    hub.repositories["student/mine"] = Repository(False, files, ["a" * 40])
    place.environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(place.path / "hf"),
        "HF_TOKEN": TOKEN,
    }
    done = place.run(
        "compare.verify",
        "student/mine",
        "--corpus",
        mini_text,
        "--device",
        "cpu",
        "--seed",
        1,
        "--json",
        code=1,
    )
    assert done.stdout, done.stderr
    (outcome,) = json.loads(done.stdout)["outcomes"]
    verdicts = {point["id"]: point["verdict"] for point in outcome["points"]}
    assert verdicts["score"] == verdicts["causal"] == verdicts["published"] == "pass"
    assert verdicts["own-loop"] == "fail"  # of the file of the Trainer, its name suffices
    assert verdicts["card"] == verdicts["tags"] == "fail"  # it is there, but says nothing
    assert outcome["kind"] == "repository" and outcome["commit"] == "a" * 40
    assert outcome["description"] == "Hub repository at commit aaaaaaaaa"
    assert not any("training_args.bin" in request for request in hub.requests)
