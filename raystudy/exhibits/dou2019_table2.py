"""Dou et al., Table 2: from which tasks Reptile learns how often."""

from __future__ import annotations

from raystudy.catalogue import catalogue
from raystudy.exhibits._glue import ablation, uneven_keys

__all__ = ["EXHIBIT"]

FORMS = {
    "Reptile-PPS": "reptile_pps",
    "Reptile-Uniform": "reptile_uniform",
    "Reptile-Mixed 2:1": catalogue().with_settings("reptile_mixed", {"ratio": 2.0}).id,
    "Reptile-Mixed 5:1": catalogue().with_settings("reptile_mixed", {"ratio": 5.0}).id,
}

EXHIBIT = ablation(
    "Table 2",
    "Reptile with tasks as likely as they are large, all alike, and with the target alone in the end of each epoch",
    [(variant, title, {"method": title, "setting": "dev set"}) for title, variant in FORMS.items()],
    notes=(
        (
            "At scale small each of the four large tasks has four times as many examples as each of the small ones, "
            "since tasks of one size are drawn by size as they are drawn uniformly; in GLUE it is up to 150 times as "
            "many."
        ),
    ),
    sizes=uneven_keys,
)
