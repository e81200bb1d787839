"""What a trial of Ray Tune runs: it waits for the scores of its cells. Its process loads neither torch nor optuna."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ray
from ray import tune

__all__ = ["ConfigurationTrainable"]


class ConfigurationTrainable(tune.Trainable):
    """One configuration of one arm. Each step asks the queue of cells for the dev score of the next cell."""

    def setup(self, config: dict[str, Any]) -> None:
        self.scores: list[float | None] = []
        self.queue = ray.get_actor(config["queue"], namespace=config["namespace"])

    def step(self) -> dict[str, Any]:
        cells = self.config["cells"]
        key, spec = cells[len(self.scores)]
        # a failed cell is reported, never raised: a raising trial would halve Tune's concurrency for good
        answer = ray.get(self.queue.score.remote(key, spec, self.config.get("number")))
        if "score" in answer:
            self.scores.append(answer["score"])
        dev_scores = [s for s in self.scores if s is not None]
        failed = len(dev_scores) < len(self.scores)
        return {
            "cells_done": len(self.scores),
            "last": self.scores[-1] if self.scores else None,
            "score": sum(dev_scores) / len(dev_scores) if dev_scores else float("nan"),  # Tune insists on one
            "closed": answer.get("closed", ""),
            "done": failed or "closed" in answer or len(self.scores) == len(cells),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "scores.json").write_text(json.dumps(self.scores))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.scores = json.loads((Path(checkpoint) / "scores.json").read_text())

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True
