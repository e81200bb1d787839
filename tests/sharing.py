"""Which tests go to the same process when the suite is spread over several (conftest.py)."""

from __future__ import annotations

import re

SPLIT = ("tests/test_contract.py",)  # files whose tests are shared out by their last parameter, the variant

TOGETHER = ("tests/analysis/", "tests/exhibits/")  # folders whose files share reports that take seconds to make


def group_of(nodeid: str) -> str:
    """The tests of a file, of a folder of `TOGETHER`, or of one variant in a file of `SPLIT`."""
    if folder := next((f for f in TOGETHER if nodeid.startswith(f)), ""):
        return folder
    file = nodeid.partition("::")[0]
    variant = re.search(r"([^-\[]+)\]$", nodeid) if file in SPLIT else None
    return f"{file} {variant[1]}" if variant else file
