"""A small Hugging Face hub on this machine: enough of its protocol for `snapshot_download`, from files in memory.

    /api/{models,datasets}/ID[/revision/REV]      what a repository is, and the commit of a revision
    /api/{models,datasets}/ID/tree/REV            its files
    /[datasets/]ID/resolve/REV/FILE               one of them; HEAD tells its commit and entity tag

A repository has branches, each with its files; the commit of a branch is a digest of them. What is not there is
answered as the hub answers it: by status and ``X-Error-Code``, also for repositories whose terms must be agreed to.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    """All files below a folder, by their path in it."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def sha(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@dataclass
class Repository:
    gated: int = 0  # the status that its files are refused with: 401 without a token, 403 without having agreed
    branches: dict[str, str] = field(default_factory=dict)  # branch -> commit
    commits: dict[str, Files] = field(default_factory=dict)


class FakeHub:
    """The hub's content and what was asked of it. `url` is where it is served while `serving`."""

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[tuple[str, str], Repository] = {}  # ("models" or "datasets", id)
        self.asked: list[str] = []  # "METHOD path", in order

    def push(self, repo_id: str, files: Files, *, kind: str = "models", branch: str = "main", gated: int = 0) -> str:
        """Make `files` the content of a branch. Returns the commit."""
        repository = self.repositories.setdefault((kind, repo_id), Repository())
        commit = sha(b"".join(name.encode() + b"\0" + data for name, data in sorted(files.items())))
        repository.gated, repository.branches[branch], repository.commits[commit] = gated, commit, files
        return commit

    @property
    def files_asked(self) -> set[str]:
        """Names of the files whose content was fetched."""
        return {a.rpartition("/")[2] for a in self.asked if a.startswith("GET") and "/resolve/" in a}

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) for a GET."""
        kind, repo_id, verb, revision, file = _parsed(path)
        repository = self.repositories.get((kind, repo_id))
        if repository is None:
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        files = repository.commits[commit]
        if verb == "resolve":
            if repository.gated:
                return repository.gated, {"X-Error-Code": "GatedRepo"}, b""
            if file not in files:
                return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
            return 200, {"X-Repo-Commit": commit, "ETag": f'"{sha(files[file])}"'}, files[file]
        if verb == "tree":
            listed = [{"type": "file", "path": n, "size": len(d), "oid": sha(d)} for n, d in files.items()]
            return 200, {}, json.dumps(listed).encode()
        about: Mapping[str, Any] = {"id": repo_id, "sha": commit, "siblings": [{"rfilename": n} for n in files]}
        return 200, {}, json.dumps(about).encode()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Answer on a free port of this machine, whose address is given."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self.url
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _parsed(path: str) -> tuple[str, str, str, str, str]:
    """(models or datasets, id, verb, revision, file) of a path of the protocol."""
    parts = urlsplit(path).path.strip("/").split("/")
    if parts[0] == "api":
        kind, parts = parts[1], parts[2:]
    else:
        kind = "datasets" if parts[0] == "datasets" else "models"
        parts = parts[1:] if kind == "datasets" else parts
    at = next((i for i, p in enumerate(parts) if p in ("resolve", "tree", "revision")), len(parts))
    verb = parts[at] if at < len(parts) else "revision"
    revision = unquote(parts[at + 1]) if at + 1 < len(parts) else "main"
    return kind, "/".join(parts[:at]), verb, revision, unquote("/".join(parts[at + 2 :]))


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  the server looks for this name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name in the base class
            pass

    return Handler


def connect(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path, *, offline: bool = False) -> None:
    """Point this process's hub client to `url` and `cache`; it reads its environment only when it is imported."""
    from huggingface_hub import constants

    from raystudy import huggingface

    huggingface.fetch.cache_clear()
    monkeypatch.setattr(huggingface, "_NO_ANSWER", {})
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    if "datasets" in sys.modules:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(cache / "datasets"))
