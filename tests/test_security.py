"""SECURITY.md's "never" holds for every source file of the package, which is parsed and not run."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import raystudy

ROOT = Path(raystudy.__file__).parent
PROMISES = (ROOT.parent / "SECURITY.md").read_text(encoding="utf-8")

# dotted names that load code or objects, wherever they are imported from and whatever they are called there
MODULES = ("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "runpy", "code")
CALLS = (
    *("torch.load", "torch.hub", "torch.package", "torch.jit.load", "torch.save"),
    *("pandas.read_pickle", "pandas.eval", "pandas.io.pickle"),
    *("yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all"),
    *("os.system", "os.popen", "os.execv", "os.execvp", "os.spawnl", "os.posix_spawn"),
    *("subprocess.getoutput", "subprocess.getstatusoutput"),
    *("ray.cloudpickle", "xml.dom.minidom", "xmlrpc", "ctypes", "http.server"),
)
BUILTINS = ("eval", "exec", "compile", "__import__", "breakpoint", "input")
METHODS = ("read_pickle", "to_pickle", "load_state_dict_from_url", "query_eval", "exec_module", "load_module")
# keyword -> the value that is refused; None = any
KEYWORDS: dict[str, object] = {"trust_remote_code": None, "allow_pickle": None, "shell": None, "weights_only": None}
# module -> what it may do, and SECURITY.md says so
DOCUMENTED = {
    "study/pool/pool.py": {"pickle", "pickle.dumps", "pickle.loads"},
    "supervise.py": {"ctypes", "ctypes.CDLL"},
    "reproduce.py": {"ctypes", "ctypes.CDLL"},
    "own_modules.py": {"exec_module"},
}


def names_of(tree: ast.AST) -> dict[str, str]:
    """Local name -> the dotted name that it was imported as."""
    out = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                out[a.asname or a.name.split(".")[0]] = a.name if a.asname else a.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for a in node.names:
                out[a.asname or a.name] = f"{node.module}.{a.name}"
    return out


def dotted(node: ast.AST, known: dict[str, str]) -> str:
    """``torch.load`` of an attribute chain that begins with an imported name, else an empty string."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in known:
        return ""
    return ".".join([known[node.id], *reversed(parts)])


def within(name: str, forbidden: tuple[str, ...]) -> bool:
    return any(name == f or name.startswith(f"{f}.") for f in forbidden)


def dangers(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) of everything in a source that could load code or objects from outside."""
    tree = ast.parse(source)
    known = names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if within(a.name, MODULES + CALLS))
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            yield from ((node.lineno, n) for n in whole if within(n, MODULES + CALLS))
        elif isinstance(node, ast.Attribute):
            name = dotted(node, known)
            if within(name, MODULES + CALLS) or node.attr in METHODS:
                yield node.lineno, name or node.attr
        elif isinstance(node, ast.Name) and node.id in BUILTINS and node.id not in known:
            yield node.lineno, node.id
        if isinstance(node, ast.keyword) and node.arg in KEYWORDS:
            yield node.value.lineno, node.arg
        # an option may also travel by its name: {"trust_remote_code": True}, YAML(typ="unsafe")
        if isinstance(node, ast.Constant) and node.value in (*KEYWORDS, "unsafe", "pickle") and node.value != "shell":
            yield node.lineno, str(node.value)


SOURCES = {p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8") for p in sorted(ROOT.rglob("*.py"))}


@pytest.mark.parametrize("name", SOURCES)
def test_no_source_loads_what_it_must_not(name: str) -> None:
    allowed = DOCUMENTED.get(name, set())
    found = [f"{name}:{line}: {what}" for line, what in dangers(SOURCES[name]) if what not in allowed]
    assert not found, "SECURITY.md says that this never happens"


def test_what_is_allowed_is_used_and_documented() -> None:
    for name, allowed in DOCUMENTED.items():
        assert {what for _, what in dangers(SOURCES[name])} == allowed
        assert f"`raystudy/{name}`" in PROMISES


def test_the_documented_pickle_reads_what_ray_gave_and_no_file() -> None:
    """In study/pool/pool.py: dumps goes straight into a remote call, loads takes what the cell queue handed over."""
    tree = ast.parse(SOURCES["study/pool/pool.py"])
    uses = {
        ast.unparse(parent.func) + f"({ast.unparse(node)})"
        for parent in ast.walk(tree)
        if isinstance(parent, ast.Call)
        for node in parent.args
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pickle.dumps"
    }
    assert uses == {"queue.finish.remote(pickle.dumps(outcome))"}
    (loads,) = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "pickle.loads"]
    assert ast.unparse(loads.args[0]) == "x"
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) in ("open", "Path.open")]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p\np.loads(b'')",
        "from pickle import loads as l",
        "def f():\n    from ray import cloudpickle",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "import torch as t\nt.load('x')",
        "import torch.hub",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import pandas as pd\npd.read_pickle('x')",
        "frame.to_pickle('x')",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "options = {'trust_remote_code': True}",
        "eval('1')",
        "run = exec",
        "__import__('os')",
        "import yaml\nyaml.load(x)",
        "from yaml import unsafe_load",
        "YAML(typ='unsafe')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import os\nos.system('ls')",
        "from joblib import load",
        "import shelve",
        "spec.loader.exec_module(module)",
    ],
)
def test_the_scan_sees_what_it_must_see(source: str) -> None:
    assert list(dangers(source))


@pytest.mark.parametrize(
    "source",
    [
        "method.eval()",
        "import re\nre.compile('x')",
        "from safetensors.torch import load_file\nload_file('x')",
        "import json\njson.load(f)",
        "text = 'never from a pickle'",
        "import subprocess\nsubprocess.run(['git', 'describe'])",
        "YAML(typ='safe', pure=True)",
        "self.load(name)",
    ],
)
def test_the_scan_leaves_the_rest_alone(source: str) -> None:
    assert list(dangers(source)) == []


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.ckpt", "modeling_own.py", "model.onnx", "x.pkl"]
)
def test_no_code_and_no_weights_but_safetensors_are_downloaded(name: str) -> None:
    from raystudy.data.plm import HUB_FILES
    from raystudy.tasks._hub import DATA

    assert not [pattern for pattern in HUB_FILES if fnmatch.fnmatch(name, pattern)]
    assert [pattern for pattern in HUB_FILES if fnmatch.fnmatch("model.safetensors", pattern)]
    assert not [pattern for pattern in DATA if fnmatch.fnmatch(name, pattern)]


def test_a_pickled_model_is_refused(tmp_path: Path) -> None:
    from raystudy.data.plm import resolve
    from raystudy.errors import PreflightError

    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(PreflightError, match="never loaded"):
        resolve(str(tmp_path))


def test_a_yaml_tag_is_refused(tmp_path: Path) -> None:
    from raystudy.errors import ConfigError
    from raystudy.studyfile import read_study

    path = tmp_path / "s.yaml"
    path.write_text(
        "name: !!python/object/apply:os.getcwd []\nsuite: planted\nmethods: [single_task]\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="tag"):
        read_study(path)


def test_usage_statistics_are_off_unless_asked_for() -> None:
    from raystudy import cluster

    assert cluster._ENVIRONMENT["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "os.environ.setdefault(key, value)" in SOURCES["cluster.py"]


def test_a_report_reaches_for_nothing_outside() -> None:
    template = "".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "analysis").glob("*.jinja")))
    assert template.count("default-src 'none'") == template.count("<head>") == 1
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", template)
    assert "|safe" not in template.replace(" ", "").replace("svg|safe", "")
    assert "autoescape=True" in SOURCES["analysis/html.py"]


def test_servers_listen_here_alone() -> None:
    from raystudy.commands import dashboard

    assert dashboard.HOST == "127.0.0.1"
