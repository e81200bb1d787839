"""MetaXT, Figure 8: what its LTN took names in four types to mean in twelve."""

from __future__ import annotations

from raystudy.exhibits._label_maps import learned
from raystudy.exhibits.metaxt_fig6 import GERMAN, INSTEAD

__all__ = ["EXHIBIT"]

EXHIBIT = learned(
    "Figure 8",
    "the soft labels that MetaXT made of German names in four types, with 100 labelled sentences of the target",
    ("ner_de",),
    ("metaxt_rtn", "metaxt"),
    planted="planted_tags",
    plm=GERMAN,
    notes=(INSTEAD, "The paper does not say at which k; its MetaXT has the RTN."),
)
