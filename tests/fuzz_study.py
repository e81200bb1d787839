"""Mutated study files by the thousand: each is a study that can be planned, or a list of errors as a user can read it.

A script, for more than the test suite has time for (`test_fuzz_study.py` runs some hundreds of the same files):

    python tests/fuzz_study.py --files 10000 --seed 0

Every file is drawn from (seed, number), so ``--only NUMBER`` makes one of them again and shows what came of it. Exit
code 1 if a law does not hold for one of them.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from raystudy.catalogue import catalogue, space_folder, suites
from raystudy.errors import ConfigError, UserError
from raystudy.spec import Places
from raystudy.studyfile import Study, expand_study, read_study
from raystudy.yamlfile import plain, to_yaml

SECONDS = 20  # of CPU time: no file of 64 KiB may take longer; an alarm tells which one did
MESSAGE = 20_000  # characters of all that one file is refused with

# -- what is mutated ---------------------------------------------------------------------------------------------------

WHOLE = """\
# every key of a study, in the order of the documentation
name: mine
about: "every key of a study"
plm: tiny
revision: null
data_root: data
suite: planted
targets: [planted/target]
shots: [20, 100]
fraction: [0.1]
scope: target
dev: all
length: 64
limits: {train: 100, dev: 50, test: 400}
source_limits:
  train: 10
task_options:
  planted: {n_train: 200, n_dev: 60, n_test: 60}
methods:
  - single_task
  - meta_dtl: {lambda: 0.5, lr: 1.0e-4}
  - meta_dtl[lambda=0.3, mmt_epochs=1]
  - single_task_matched
  - mft[layers=1/2 1]
settings: {lr: 3.0e-4, batch_size: 16}
search:
  trials: 3
  seeds: 2
  shots: [20]
  generation: 2
  halving: 2
  sampler: tpe
report: {seeds: 2, baseline: single_task, rope: 0.01}
numerics: {precision: fp32, device: cpu, workers: 1}
"""

SHORT = """\
name: short
plm: tiny
tasks: [planted/target, planted/source]
targets: [planted/target]
methods: [single_task, multi_task, majority]
task_options: {planted: {n_train: 60, n_dev: 30, n_test: 30}}
shots: 12
settings: &fast {max_updates: 4, lr: 1.0e-3}
report: {seeds: 2}
"""

SEVERAL = """\
name: several
plm: tiny
suites: [planted, planted_domains]
methods:
- single_task
- metaxt:
    map_1: none
- xt: {}
task_options:
  planted:
    n_train: 60
report:
  seeds: 1
"""

SCALARS = """\
null|~|true|false|yes|0|1|-1|2|7|12|0.5|1.5|-0.0|.inf|-.inf|.nan|1e999|1e-999|0x1F|0o17|0o9|0b2|1_000|1__|1:30|+|-|.|
..|12345678901234567890|9223372036854775807|9223372036854775808|-9223372036854775809|2001-01-01|2001-99-99|
2001-01-01T99:00:00|''|""|" "|"\\0"|"\\e[31m"|"\\ud800"|"\\u202e"|"\\n"|"a\\nb"|'it''s'|"\\q"|"|'|@x|`x|%x|!x|!x y|
!!str 5|!!int x|!!int ''|!!float x|!!bool x|!!null x|!!binary x|!!binary '!'|!!timestamp x|!!omap x|!!omap [1]|
!!omap [{a: 1, a: 2}]|!!set x|!!set [1]|!!set {a, b}|!!pairs x|!!pairs [{a: 1}]|!!map [1]|!!seq {a: 1}|!!str [1]|
!!python/object/apply:os.system ['true']|!<x> y|!e!b c|*x|*nowhere|&x|&x 1|&x [*x]|&x {a: *x}|<<|{<<: 5}|{<<: [5]}|
{<<: *x}|? a|? [a]|[]|{}|[[]]|[{}]|{a: {}}|[null]|[1, [2, [3]]]|{"": 1}|{1: 2}|{null: 1}|{true: x}|{[a]: 1}|
{? {a: 1} : 2}|[1, 2|{a: 1|]|}|,|:|a: b|- a|# not here|text|text: |ünï|日本語|\u200b|é|🙂|../../x|/etc/passwd|~nobody/x|
CON|nul.txt|published|x/y|a.b|single_task|multi_task|meta_dtl|single_taks|metadtl|meta_dtl[lambda=0.2]|
meta_dtl[lambda=2]|meta_dtl[lambda]|"meta_dtl[lambda=0.2"|"meta_dtl[]"|"meta_dtl[lambda=.1,lambda=.2]"|
"meta_dtl[lamda=1]"|"[]"|"[lambda=1]"|"meta_dtl[lambda=[1]]"|"mft[layers=1/0]"|"mft[layers=1 2 9]"|planted|plantd|
planted/target|planted/*|planted/targte|"*"|"*/x"|/*|review|lexicon/stars|reviews/*|quickstart|tiny|minilm|like_train|
tpe|fp32|cuda|{single_task: {}}|{meta_dtl: {lambda: 0.2}}|{meta_dtl: {lambda: x, lamda: 1}}|{meta_dtl: 5}|
{single_task: null}|{single_task: {}, multi_task: {}}\
"""
ODD = [s for line in SCALARS.split("|\n") for s in line.split("|")]
KEYS = sorted(
    {*Study.model_fields}
    | {"train", "dev", "test", "trials", "seeds", "halving", "baseline", "rope", "workers", "device", "precision"}
    | {"lr", "lambda", "batch_size", "max_updates", "layers", "freeze", "map_1", "n_train", "label_text", "merge", "x"}
    | {"metod", "Name", "0", "a.b", "name ", "<<", "=", "3", "null", "~", "true", '"\\0"', "ключ", "__class__", "'a b'"}
)
LINES = [
    *(f"{k}: {v}" for k, v in zip(KEYS, ODD * 2, strict=False)),
    *(
        "\tname: x",
        "  - x",
        "- x",
        "---",
        "...",
        "%YAML 1.1",
        "%YAML 2.0",
        "%TAG ! tag:x,2000:",
        "? a",
        ": b",
        "  ",
        "#",
    ),
    *("a: &a [x, x]", "b: *a", "<<: *fast", "<<: [*fast, *fast]", "<<: {report: {seeds: 3}}", "[" * 200, "{a: " * 50),
    *("name: again", "methods: [single_task]", "about: |", "about: >", "  text\n more", 'about: "a', "about: 'a"),
]
CHARACTERS = "\t\0\x07\x1b\x7f\x85\xa0\u2028\u202e\ufeff\ufffe\U0001f642é:-[]{},&*!|>'\"%@`#?~=<. \n\r0aA_"


def seeds_of_files() -> list[str]:
    """The valid studies that are mutated: three here, and those that come with the project."""
    return [WHOLE, SHORT, SEVERAL, *(p.read_text("utf-8") for p in sorted((space_folder() / "studies").glob("*.yaml")))]


# -- how it is mutated -------------------------------------------------------------------------------------------------


def of_bytes(r: random.Random, text: str) -> bytes:
    """Bytes that are changed, left out, put in, said twice, or cut off."""
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(r.choice((1, 1, 2, 5))):
        i = r.randrange(len(data) + 1)
        j = min(len(data), i + r.choice((1, 1, 3, 40)))
        kind = r.randrange(5)
        if kind == 0:
            data[i:j] = bytes(r.randrange(256) for _ in range(j - i))
        elif kind == 1:
            del data[i:j]
        elif kind == 2:
            data[i:i] = r.choice(CHARACTERS).encode("utf-8", "surrogatepass")
        elif kind == 3:
            data[i:i] = data[i:j]
        elif r.random() < 0.3:
            del data[i:]
    return bytes(data)


def of_tokens(r: random.Random, text: str) -> bytes:
    """Words, numbers and signs that are replaced by others of the file, or by odd ones."""
    tokens = re.findall(r"[\w./-]+|\s+|.", text)
    for _ in range(r.choice((1, 1, 2, 4))):
        i = r.randrange(len(tokens))
        tokens[i] = r.choice((r.choice(tokens), r.choice(ODD), r.choice(KEYS), tokens[i] * 2, tokens[i].upper(), ""))
    return "".join(tokens).encode("utf-8", "surrogatepass")


def of_lines(r: random.Random, text: str) -> bytes:
    """Lines that are left out, said twice, exchanged, indented otherwise, or put in."""
    lines = text.split("\n")
    for _ in range(r.choice((1, 1, 2, 4))):
        i, j = r.randrange(len(lines)), r.randrange(len(lines))
        kind = r.randrange(6)
        if kind == 0:
            lines[i] = ""
        elif kind == 1:
            lines.insert(j, lines[i])
        elif kind == 2:
            lines[i], lines[j] = lines[j], lines[i]
        elif kind == 3:
            lines[i] = r.choice((" ", "  ", "\t", "- ", "")) + lines[i].lstrip(r.choice((" ", "", "- ")))
        else:
            lines.insert(j, r.choice(LINES))
    return r.choice(("\n", "\n", "\r\n")).join(lines).encode("utf-8", "surrogatepass")


def of_values(r: random.Random, text: str) -> bytes:
    """The value of a key, whatever it is, replaced by an odd one: the wrong type at every key."""
    lines = text.split("\n")
    for _ in range(r.choice((1, 1, 2))):
        at = [i for i, line in enumerate(lines) if ":" in line and not line.lstrip().startswith("#")]
        i = r.choice(at)
        places = [m.end() for m in re.finditer(r":( |$)", lines[i])]
        start = r.choice(places)
        end = r.choice(
            (len(lines[i]), next((m.start() for m in re.finditer(r"[,}\]]", lines[i]) if m.start() > start), 999))
        )
        lines[i] = f"{lines[i][:start].rstrip()} {r.choice(ODD)}{lines[i][end:]}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def of_tree(r: random.Random, text: str) -> bytes:
    """Keys and items that are dropped, renamed, retyped or moved, at any depth; written out as a file again."""
    from ruamel.yaml import YAML

    tree = plain(YAML(typ="safe", pure=True).load(text))
    for _ in range(r.choice((1, 2, 3))):
        here: Any = tree
        while isinstance(here, dict | list) and here:
            key = r.choice(list(here) if isinstance(here, dict) else range(len(here)))
            if isinstance(here[key], dict | list) and here[key] and r.random() < 0.6:
                here = here[key]
                continue
            kind = r.randrange(6)
            if kind == 0:
                del here[key]
            elif kind == 1:
                here[key] = [here[key]]
            elif kind == 2:
                here[key] = {r.choice(KEYS): here[key]}
            elif kind == 3 and isinstance(here, dict):
                here[r.choice(KEYS)] = here.pop(key)
            elif kind == 4 and isinstance(here, list):
                here.insert(0, here[key])
            else:
                here[key] = r.choice(
                    (None, True, 0, -3, 2.5, 10**19, "", "x", "x" * 300, [], {}, [None], tree.get("name"))
                )
            break
    return to_yaml(tree).encode("utf-8", "surrogatepass")


def of_size(r: random.Random, text: str) -> bytes:
    """Much of one thing: depth, aliases of aliases, items, a long word, wrong keys, wrong methods, great numbers."""
    n = r.choice((3, 31, 100, 2000))
    kind = r.randrange(9)
    if kind == 0:
        more = "about: " + "[" * n + "]" * r.choice((n, 0))
    elif kind == 1:
        letters = "abcdefghi"[: r.randint(2, 9)]
        more = "\n".join(
            f"{b}: &{b} [{', '.join([f'*{a}' if a else 'x'] * 9)}]"
            for a, b in zip(("", *letters), letters, strict=False)
        )
    elif kind == 2:
        more = f"shots_: [{', '.join(map(str, range(n)))}]"
    elif kind == 3:
        more = "abut: " + "x" * n
    elif kind == 4:
        more = "\n".join(f"key_{i}: {i}" for i in range(n))
    elif kind == 5:
        more = "methods: [" + ", ".join(f"single_tsk_{i}" for i in range(n)) + "]"
    elif kind == 6:
        more = "methods: [single_task" + "".join(f", 'meta_dtl[lambda={i / n}]'" for i in range(min(n, 1500))) + "]"
    elif kind == 7:
        more = "settings: {" + ", ".join(f"lr_{i}: x" for i in range(n)) + "}"
    else:
        trials, seeds = r.choice((3, 10_000, 10_001)), r.choice((1, 1000, 1001))
        more = f"search: {{trials: {trials}, seeds: {seeds}}}\nreport: {{seeds: 1000}}"
    named = {line.partition(":")[0] for line in more.split("\n")}
    lines = re.split(r"\n(?=\S)", text)
    return "\n".join([*(x for x in lines if x.partition(":")[0] not in named), more]).encode()


KINDS: tuple[Callable[[random.Random, str], bytes], ...] = (
    of_bytes,
    of_tokens,
    of_lines,
    of_values,
    of_values,
    of_tree,
    of_tree,
)


def mutated(seed: int, number: int, texts: Sequence[str]) -> tuple[str, bytes]:
    """(how it was made, file `number` of a seed); one in forty is about size."""
    r = random.Random(f"{seed}/{number}")
    how = of_size if number % 40 == 39 else r.choice(KINDS)
    return how.__name__, how(r, r.choice(texts))


# -- what holds for each -----------------------------------------------------------------------------------------------

# names of classes, and words of the libraries that read, which mean nothing to who wrote the file
NOT_OURS = re.compile(
    r"NoneType|\b(?:dict|str|int|float|bool|tuple)\b|Node\b|\bobject\b (?:at|has)|instance of|Input should"
    r"|[Ii]nput_type"
    r"|pydantic|ruamel"
    r"|valid (?:dictionary|string|integer|tuple|list|number)|unable to parse|Commented|ScalarFloat"
    r"|ScalarInt|[Oo]rdered[Dd]ict|Traceback|<class|attribute|constructor|at at|index out of"
)
RULES = re.compile(
    r"\bmust\b|unknown \w+|is missing|cannot be|is not valid YAML: \w+|is not UTF-8|is listed twice|is not among"
    r"|belongs to|no method of this study has|the study has no setting|copies the settings of|is defined by"
    r"|a study needs|but sets"
)


def faults(e: UserError, path: Path, whole: bool = True) -> Iterator[str]:
    """What is wrong with a refusal itself.

    Args:
        whole: whether it is about the file alone, so that each problem has a place in it.
    """
    text = str(e)
    if not e.problems:
        yield "no problem is named"
    if len(text) > MESSAGE:
        yield f"{len(text)} characters of message"
    if raw := re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]", text):
        yield f"raw character {raw[0]!r}"
    if len(set(e.lines)) < len(e.lines):
        yield "the same line twice"
    for p in e.problems[:200]:
        if whole and (p.file != str(path) or (p.line is None and "UTF-8" not in p.message and "KiB" not in p.message)):
            yield f"no file and line: {p}"
        if not RULES.search(p.message):
            yield f"no rule: {p.message}"
        said = re.sub(
            r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|, in .*|!!\w+", "''", p.message
        )  # what the file itself says
        if word := NOT_OURS.search(said):
            yield f"{word[0]!r} in: {p.message}"
        if len(str(p)) > 2100:
            yield f"a problem of {len(str(p))} characters"


def outcome(path: Path, data: bytes, *, plan: bool = True) -> tuple[str, list[str], int]:
    """("valid" | "refused", faults, number of problems) of one file; `plan` also plans it where that is cheap."""
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            study = read_study(path)
        except ConfigError as e:
            return "refused", [*faults(e, path), *_warned(warned)], len(e.problems)
    return "valid", [*_warned(warned), *of_a_study(study), *(of_a_plan(study, path) if plan else ())], 0


def _warned(warned: Sequence[warnings.WarningMessage]) -> list[str]:
    return [f"a raw warning: {w.message}" for w in warned]


def of_a_study(study: Study) -> Iterator[str]:
    """What is wrong with a study that was read: it says the same again, and every method has its settings."""
    if Study.model_validate(study.model_dump(mode="json")) != study:
        yield "its own dump is another study"
    if not study.arms() or not study.target_names:
        yield "nothing to train"
    for variant in study.variants:
        catalogue().resolve(variant, study.fixed_settings(variant))


def of_a_plan(study: Study, path: Path) -> Iterator[str]:
    """What is wrong with the plan of a study on generated data: it can be made, or is refused in words."""
    planted = all(name.partition("/")[0] in ("planted", "lexicon") for name in study.task_names)
    if not planted or study.plm != "tiny":
        return
    from raystudy.study.plan import Plan

    try:
        plan = Plan(expand_study(study, None), Places(plm="tiny"))
        plan.sizes  # noqa: B018
        if plan.preview["total_cells"] < len(study.arms()):
            yield "fewer cells than arms"
    except UserError as e:
        yield from (f for f in faults(e, path, whole=False) if not f.startswith("no rule"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one file: show it, and what comes of it")
    asked = parser.parse_args()
    texts = seeds_of_files()
    catalogue(), suites()  # read once, outside the time of a file, and so is what a plan imports
    import raystudy.study.plan  # noqa: F401

    found, times, kinds, problems = Counter[str](), [], Counter[str](), 0
    signal.signal(signal.SIGPROF, lambda *_: (_ for _ in ()).throw(TimeoutError(f"more than {SECONDS} s")))
    with TemporaryDirectory() as folder:
        path = Path(folder, "study.yaml")
        for number in [asked.only] if asked.only is not None else range(asked.files):
            how, data = mutated(asked.seed, number, texts)
            began = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                kind, wrong, n = outcome(path, data)
            except Exception as e:
                kind, wrong, n = "neither", [f"{type(e).__name__}: {str(e)[:300]}"], 0
            signal.setitimer(signal.ITIMER_PROF, 0)
            times.append((time.process_time() - began, number, how))
            found[kind] += 1
            problems += n
            if asked.only is not None:
                typer.echo(data.decode("utf-8", "backslashreplace"))
                try:
                    read_study(path)
                except UserError as e:
                    typer.echo(e)
            for fault in wrong:
                kinds[re.sub(r"\d+|'[^']*'", "_", fault)[:60]] += 1
                if kinds[re.sub(r"\d+|'[^']*'", "_", fault)[:60]] <= 3:
                    typer.echo(f"{number} ({how}): {fault[:400]}")
    typer.echo(
        f"seed {asked.seed}: {sum(found.values())} files, "
        + ", ".join(f"{n} {kind}" for kind, n in found.most_common())
    )
    typer.echo(f"{problems} problems told; {sum(kinds.values())} faults of {len(kinds)} kinds")
    typer.echo(
        f"{sum(t for t, *_ in times):.0f} CPU-seconds; slowest "
        + ", ".join(f"{t:.2f} s (file {n}, {how})" for t, n, how in sorted(times)[:-4:-1])
    )
    return 1 if kinds or found["neither"] else 0


if __name__ == "__main__":
    sys.exit(main())
