"""TAWT, Table 2: the same question with more data, of the targets and of their sources."""

from __future__ import annotations

from raystudy.exhibits._tagging import NAMES, paradigms

__all__ = ["EXHIBIT"]

EXHIBIT = paradigms(
    "Table 2",
    "pre-training and joint training with and without learned weights, where there are more sentences of everything",
    {v: NAMES[v] for v in ("single_task", "tawt_pre", "tawt_pre_w", "tawt_joint", "tawt_joint_w")},
    {"ud_ewt_upos": 500, "predicates": 600, "wnut17": 1_000},
    20_000,
    "2 sources x 20K sentences; target 500/600/1000 sentences",
    "mean of the 3 metrics",
)
