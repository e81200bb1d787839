"""How long a whole small study takes, beside the same study written by hand with Trainer and Ray Tune.

    python benchmarks/study.py [--shots 50] [--updates 60] [--test 200] [--quick] [--json]

Fine-tuning on two targets: 3 trials of the learning rate on dev, then 5 seeds with the best, judged on test; so
2 x (3 + 5) trainings of `--updates` updates of 16 examples each. Both have the same texts, splits, model and number of
workers (one per core), and both write what they found: ours a whole report, the other a list of accuracies.

    ours      `python -m raystudy.run`, from start to exit code
    by_hand   one function for Ray Tune that builds a Trainer, as the documentation of both shows

The other pads to the longest text of a batch. Accuracies are compared target by target, ours minus by hand, with the
standard error of the difference of two means over 5 seeds: within two of these the two are equal but for noise. Needs
the extra `benchmarks`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from measuring import print_rows, ratio

TARGETS = ("lexicon/stars", "lexicon/polarity")  # rated terms, and adjectives: they come with raystudy
RATES = (5e-5, 2e-5, 1e-4)
BATCH = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--shots", type=int, default=50)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="6 updates and 2 seeds: two starts of Ray, a minute")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.updates, args.seeds, args.test = 6, 2, 60
    scratch = Path(tempfile.mkdtemp())
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAYSTUDY_CACHE": str(scratch / "cache")}
    start = time.perf_counter()
    own = ours(args, scratch)
    middle = time.perf_counter()
    other = by_hand(args, scratch)
    walls = {"ours": middle - start, "by_hand": time.perf_counter() - middle}
    rows = [
        {
            "way": way,
            "seconds": round(walls[way], 1),
            "ours_is_faster_by": ratio(walls[way], walls["ours"]),
            **{f"accuracy {t}": round(fmean(scores[t]), 3) for t in TARGETS},
        }
        for way, scores in (("ours", own), ("by_hand", other))
    ]
    differences = {t: _difference(own[t], other[t]) for t in TARGETS}
    about = {"trainings": 2 * (len(RATES) + args.seeds), "updates": args.updates, "shots": args.shots}
    print_rows(rows, as_json=args.json, **about, difference_and_its_error=differences)


def _difference(a: list[float], b: list[float]) -> list[float | None]:
    """(mean of `a` minus that of `b`, its standard error)."""
    error = math.sqrt(stdev(a) ** 2 / len(a) + stdev(b) ** 2 / len(b)) if min(len(a), len(b)) > 1 else None
    return [round(fmean(a) - fmean(b), 3), None if error is None else round(error, 3)]


def ours(args: argparse.Namespace, scratch: Path) -> dict[str, list[float]]:
    """target -> test accuracies; the study is a file of fifteen lines."""
    (scratch / "study.yaml").write_text(
        f"""
name: both
plm: {args.plm}
suite: lexicon
targets: [{", ".join(TARGETS)}]
shots: [{args.shots}]
limits: {{test: {args.test}}}
methods: [single_task]
settings: {{batch_size: {BATCH}, feature: pooler, min_updates: {args.updates}, max_updates: {args.updates}}}
search: {{trials: {len(RATES)}, seeds: 1, generation: {len(RATES)}}}
report: {{seeds: {args.seeds}, default: false}}
"""
    )
    command = [sys.executable, "-m", "raystudy.run", str(scratch / "study.yaml"), "--out", str(scratch / "ours")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    scores: dict[str, list[float]] = {t: [] for t in TARGETS}
    for path in (scratch / "ours" / "cells").glob("*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["spec"]["phase"] == "confirm":
            scores[record["spec"]["target"]].append(record["metrics"]["test"]["accuracy"])
    return scores


def by_hand(args: argparse.Namespace, scratch: Path) -> dict[str, list[float]]:
    """target -> test accuracies, with Ray Tune over a function that trains with Trainer."""
    import ray
    from ray import tune

    folders = {t: _written(t, args, scratch) for t in TARGETS}
    plm = _model_folder(args.plm)
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")

    def tried(target: str, rates: list[float], seeds: list[int]) -> list[dict[str, Any]]:
        space = {
            "folder": str(folders[target]),
            "plm": plm,
            "updates": args.updates,
            "rate": tune.grid_search(rates),
            "seed": tune.grid_search(seeds),
        }
        trainable = tune.with_resources(_trial, {"cpu": 1})
        config = tune.RunConfig(storage_path=str(scratch / "tune"), verbose=0)
        grid = tune.Tuner(trainable, param_space=space, run_config=config).fit()
        return [{**r.config, **r.metrics} for r in grid]

    scores = {}
    for target in TARGETS:
        best = max(tried(target, list(RATES), [1000]), key=lambda r: r["dev"])
        scores[target] = [r["test"] for r in tried(target, [best["rate"]], list(range(args.seeds)))]
    ray.shutdown()
    return scores


def _trial(config: dict[str, Any]) -> dict[str, float]:
    """One training, as a trainable of Ray Tune: everything that it needs is made here, in a process of its own."""
    import csv
    import tempfile
    from pathlib import Path

    import numpy as np
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(config["seed"])
    tokenizer = AutoTokenizer.from_pretrained(config["plm"])
    splits = {}
    for split in ("train", "dev", "test"):
        name = f"{split}-{config['seed']}.csv"
        with (Path(config["folder"]) / name).open(encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        data = Dataset.from_dict({"text": [r["text"] for r in rows], "labels": [int(r["label"]) for r in rows]})
        splits[split] = data.map(lambda batch: tokenizer(batch["text"], truncation=True, max_length=128), batched=True)
    labels = len(set(splits["train"]["labels"]))
    model = AutoModelForSequenceClassification.from_pretrained(config["plm"], num_labels=labels)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            learning_rate=config["rate"],
            per_device_train_batch_size=16,
            per_device_eval_batch_size=64,
            max_steps=config["updates"],
            warmup_steps=config["updates"] // 10,
            weight_decay=0.01,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=config["seed"],
        ),
        train_dataset=splits["train"],
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train()

    def accuracy(split: str) -> float:
        answers = trainer.predict(splits[split]).predictions.argmax(-1)
        return float(np.mean(answers == np.array(splits[split]["labels"])))

    return {"dev": accuracy("dev"), "test": accuracy("test")}


def _written(target: str, args: argparse.Namespace, scratch: Path) -> Path:
    """The draws of every seed as CSV files, the same that ours sees."""
    from raystudy.data.fewshot import cap, cut
    from raystudy.spec import Setting
    from raystudy.tasks import load

    task = cap(load(target), test=args.test)
    folder = scratch / target.replace("/", "_")
    folder.mkdir()
    for seed in (1000, *range(args.seeds)):
        drawn = cut(task, Setting(shots=args.shots), seed)
        for split, examples in drawn.splits.items():
            with (folder / f"{split}-{seed}.csv").open("w", encoding="utf-8", newline="") as f:
                out = csv.writer(f)
                out.writerow(("text", "label"))
                out.writerows((e.text, task.labels.index(str(e.label))) for e in examples)
    return folder


def _model_folder(plm: str) -> str:
    from raystudy.data.plm import resolve

    return str(resolve(plm).folder)


if __name__ == "__main__":
    main()
