"""Amazon multi-domain sentiment with the stars of the reviews: 1, 2, 4 or 5 (Blitzer et al. 2007).

The reviews are those of `amazon_mds` in another split: train on one and test on the other, and the test is known.
Reviews of three stars are not in the data.
"""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

CARD = Card(
    form="single",
    labels=("1 star", "2 stars", "4 stars", "5 stars"),
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="none stated by the authors (research data; review texts from Amazon)",
    source="Blitzer, Dredze, Pereira 2007, Biographies, Bollywood, Boom-boxes and Blenders (ACL)",
    get="Download domain_sentiment_data.tar.gz from https://www.cs.jhu.edu/~mdredze/datasets/sentiment/ and write the "
    "review text and the rating of sorted_data_acl/*/{positive,negative}.review; there is no official split",
    domains=("books", "dvd", "electronics", "kitchen"),
)
