"""How fast fine-tuning is, beside the Trainer of Hugging Face as its users write it.

    python benchmarks/training.py [--examples 96] [--repeats 3] [--plm minilm] [--quick] [--json]

The same fine-tuning three ways, on one thread: batches of 32, AdamW, dropout of the model, gradients clipped at 1.
    ours            the updates of `single_task` as a study trains them: texts of a batch stand in one row, unpadded
    pad_to_128      Trainer, texts padded to 128 word pieces when they are tokenised
    pad_in_batch    Trainer with DataCollatorWithPadding, which pads to the longest text of a batch

on sentences and on pairs of terms; in fp32, and, where the processor multiplies faster in bfloat16, ours in bf16
against the same two in fp32, and Trainer(bf16=True) besides. Nothing is evaluated or saved. Needs the extra
`benchmarks`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from measuring import bfloat16_here, in_turn, on_one_thread, print_rows, ratio, sentences, term_pairs

if TYPE_CHECKING:
    from raystudy.tasks import Task

BATCH = 32


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--examples", type=int, default=96, help="trained on in each round, once each")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="32 examples, one round: seconds, and numbers of no worth")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.examples, args.repeats = BATCH, 1
    on_one_thread()
    bf16 = bfloat16_here()
    rows = []
    for task in (sentences(args.examples), term_pairs(args.examples)):
        ways: dict[str, Callable[[], Any]] = {
            "ours fp32": ours(task, args.plm, "fp32"),
            "pad_to_128 fp32": trainer(task, args.plm, pad=True, bf16=False),
            "pad_in_batch fp32": trainer(task, args.plm, pad=False, bf16=False),
        }
        if bf16:
            ways |= {
                "ours bf16": ours(task, args.plm, "bf16"),
                "pad_in_batch bf16": trainer(task, args.plm, pad=False, bf16=True),
            }
        took = in_turn(ways, args.repeats, warm_up=not args.quick)
        for name, seconds in took.items():
            own = took["ours bf16" if name.endswith("bf16") else "ours fp32"]
            rows.append(
                {
                    "texts": task.name,
                    "way": name,
                    "examples_per_cpu_second": round(args.examples / seconds.cpu, 1),
                    "examples_per_second": round(args.examples / seconds.wall, 1),
                    "ours_is_faster_by": ratio(seconds.cpu, own.cpu),
                    "ours_bf16_is_faster_by": ratio(seconds.cpu, took["ours bf16"].cpu) if bf16 else None,
                }
            )
    print_rows(rows, as_json=args.json, plm=args.plm, examples=args.examples, repeats=args.repeats, batch=BATCH)


def ours(task: Task, plm: str, precision: str) -> Callable[[], None]:
    """The updates of plain fine-tuning, as a study makes them."""
    import torch

    from raystudy.catalogue import catalogue
    from raystudy.data.plm import resolve
    from raystudy.data.text import Corpus, encode
    from raystudy.methods import Setup, hparams
    from raystudy.methods.single_task import HParams, Method
    from raystudy.workers import Alone

    settings = catalogue().resolve("single_task", {"batch_size": BATCH, "epochs": 1})
    model = resolve(plm)
    corpus = Corpus((encode(task, "train", model, 128),))
    setup = Setup(model, (task.name,), corpus, 0, 1, hparams(HParams, settings), Alone(), precision=precision)

    def train() -> None:
        torch.manual_seed(0)
        method = Method(setup)
        (stage,) = method.adapt()
        stage.start()
        method.train()
        for step in range(stage.length.updates):
            stage.update(step, stage.draw(step))

    return train


def trainer(task: Task, plm: str, *, pad: bool, bf16: bool) -> Callable[[], None]:
    """What the documentation of transformers shows, over the same texts, model and numbers."""
    from accelerate.state import AcceleratorState
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        default_data_collator,
    )

    from raystudy.data.plm import resolve

    folder = resolve(plm).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = task.splits["train"]
    second = [e.pair for e in texts] if task.form == "pair" else None
    padding = "max_length" if pad else False
    encoded = tokenizer([e.text for e in texts], second, padding=padding, truncation=True, max_length=128)
    rows = [
        {**{k: v[i] for k, v in encoded.items()}, "labels": task.labels.index(str(e.label))}
        for i, e in enumerate(texts)
    ]
    collator = default_data_collator if pad else DataCollatorWithPadding(tokenizer)

    def train() -> None:
        AcceleratorState._reset_state(reset_partial_state=True)  # one process trains in fp32 and in bf16
        arguments = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=5e-5,
            weight_decay=0.01,
            warmup_steps=1,
            bf16=bf16,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(task.labels))
        Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator).train()

    return train


if __name__ == "__main__":
    main()
