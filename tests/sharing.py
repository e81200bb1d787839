"""Which tests go to the same process when the suite is spread over several (conftest.py)."""

from __future__ import annotations

import re

SPLIT = ("tests/test_contract.py",)  # files whose tests are shared out by their last parameter, the variant


def group_of(nodeid: str) -> str:
    """The tests of a file, or of one variant in a file of `SPLIT`."""
    file = nodeid.partition("::")[0]
    variant = re.search(r"([^-\[]+)\]$", nodeid) if file in SPLIT else None
    return f"{file} {variant[1]}" if variant else file
