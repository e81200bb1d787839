"""Amazon multi-domain sentiment: product reviews, positive or negative, in four domains (Blitzer et al. 2007)."""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

CARD = Card(
    form="single",
    labels=("negative", "positive"),
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="none stated by the authors (research data; review texts from Amazon)",
    source="Blitzer, Dredze, Pereira 2007, Biographies, Bollywood, Boom-boxes and Blenders (ACL)",
    get="Download domain_sentiment_data.tar.gz from https://www.cs.jhu.edu/~mdredze/datasets/sentiment/ and write the "
    "review texts of sorted_data_acl/*/{positive,negative}.review; there is no official split (Meta-DTL has "
    "7,000 / 500 / 500)",
    domains=("books", "dvd", "electronics", "kitchen"),
)
