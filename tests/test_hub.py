"""Bundles on the Hugging Face Hub, by its HTTP interface on this machine."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from e2eve import Editor, push_to_hub
from tests.factories import tiny_editor

REVISION = "0123456789" * 4


class Hub(ThreadingHTTPServer):
    """One repository; what was asked is kept."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []


class Requests(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/someone/editor/resolve/[^/]+/(.+)", path):
            data = self.server.files.get(found[1])
            self.answer(data, {"ETag": f'"{hashlib.sha256(data or b"").hexdigest()}"'})
        elif re.fullmatch(r"/api/models/someone/editor(/revision/[^/]+)?", path):
            names = [{"rfilename": name} for name in self.server.files]
            known = {"id": "someone/editor", "sha": REVISION, "siblings": names}
            self.answer(json.dumps({**known, "tags": [], "private": False}).encode())
        elif re.fullmatch(r"/api/models/someone/editor/tree/.*", path):
            files = self.server.files.items()
            rows = [{"type": "file", "path": n, "size": len(d), "oid": n} for n, d in files]
            self.answer(json.dumps(rows).encode())
        else:
            self.answer(None)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            self.answer(json.dumps({"url": "https://huggingface.co/someone/editor"}).encode())
        elif "/preupload/" in path:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(sent)["files"]
            ]
            self.answer(json.dumps({"files": files}).encode())
        elif "/commit/" in path:
            for line in sent.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.server.files[entry["value"]["path"]] = base64.b64decode(
                        entry["value"]["content"]
                    )
            done = {
                "commitUrl": "https://huggingface.co/someone/editor/commit/c",
                "commitOid": REVISION,
                "success": True,
            }
            self.answer(json.dumps(done).encode())
        else:
            self.answer(b"{}")

    def answer(self, data: bytes | None, headers: dict[str, str] | None = None) -> None:
        self.send_response(404 if data is None else 200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if data is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data or b"")

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_TOKEN", "hf_none")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_XET_CACHE", str(tmp_path / "xet"))
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def same(one: Editor, other: Editor) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_a_bundle_that_was_pushed_opens_from_there(hub, tmp_path):
    editor = tiny_editor()
    folder = editor.save_pretrained(tmp_path / "run" / "bundle")
    (folder / "README.md").write_text("# A card")
    (folder / "notes.txt").write_text("private")
    assert push_to_hub(tmp_path / "run", "someone/editor").endswith("/someone/editor")
    assert hub.files.keys() == {path.name for path in folder.iterdir()} - {"notes.txt"}
    hub.files["run_me.py"] = b"raise SystemExit"
    assert same(Editor.from_pretrained("hub:someone/editor"), editor)
    fetched = {path.rpartition("/")[2] for path in hub.asked if "/resolve/" in path}
    assert fetched == {path.name for path in folder.glob("*.safetensors")} | {"config.yaml"}
    assert same(Editor.from_pretrained(f"hub:someone/editor@{REVISION}"), editor)


def test_what_is_not_there_is_one_sentence(hub):
    with pytest.raises(ValueError, match=r"^The Hub does not give or take someone/other: .*404"):
        Editor.from_pretrained("hub:someone/other")
    with pytest.raises(ValueError, match=r"^The Hub does not give or take a/b/c: "):
        Editor.from_pretrained("hub:a/b/c")
