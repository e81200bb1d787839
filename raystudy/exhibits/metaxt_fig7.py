"""MetaXT, Figure 7: what its LTN took polar labels to mean, on Yelp (here SST-5) and Amazon."""

from __future__ import annotations

from raystudy.exhibits._few_shot import STAND_IN
from raystudy.exhibits._label_maps import learned

__all__ = ["EXHIBIT"]

EXHIBIT = learned(
    "Figure 7",
    "the soft labels that MetaXT and XT made of polar reviews, with 100 labelled examples of the target",
    ("polarity_to_five", "polarity_to_stars"),
    ("metaxt", "metaxt_centred", "xt"),
    notes=(*STAND_IN.values(), "The paper shows MetaXT alone; XT is what the bilevel training is to prevent."),
)
