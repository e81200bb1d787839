"""MFT, Table 2: natural language inference in five genres of MNLI."""

from __future__ import annotations

from raystudy.exhibits._domains import domains

__all__ = ["EXHIBIT"]

EXHIBIT = domains("Table 2", "MFT and its parts against four ways to fine-tune, in five genres of MNLI", "mnli_genres")
