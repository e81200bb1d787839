"""FDU-MTL: product and film reviews, positive or negative, in 16 domains (Liu et al. 2017).

Fourteen domains are Amazon reviews (Blitzer et al. 2007), two are films (Maas et al. 2011; Pang and Lee 2005); so it
shares reviews with `amazon_mds` and `imdb`. Train on one and test on the other, and the test is known.
"""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

CARD = Card(
    form="single",
    labels=("negative", "positive"),
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="none stated by the authors (research data; review texts from Amazon, IMDb and Rotten Tomatoes)",
    source="Liu, Qiu, Huang 2017, Adversarial Multi-task Learning for Text Classification (ACL)",
    get="Download data/fdu-mtl/*.task.{train,test} of https://github.com/ccsasuke/man (about 1,600 and 400 reviews a "
    "domain); a line is the label (1 positive, 0 negative) and the text, the file's name is the `domain`; set 200 of "
    "each domain's training reviews aside as validation, as the paper does",
    domains=(
        "apparel",
        "baby",
        "books",
        "camera_photo",
        "dvd",
        "electronics",
        "health_personal_care",
        "imdb",
        "kitchen_housewares",
        "magazines",
        "mr",
        "music",
        "software",
        "sports_outdoors",
        "toys_games",
        "video",
    ),
)
