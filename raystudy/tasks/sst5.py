"""SST-5: sentences of film reviews in five levels of sentiment (Socher et al. 2013).

Meta-DTL prints the label set as {1, 2, 3, 4, 5} (its Table 1), so these are the labels' words: "negative" of this
five-level scale is not the class "negative" of a two-level one, and a union head must not merge them.
"""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="single",
    labels=("very negative", "negative", "neutral", "positive", "very positive"),
    label_text={"very negative": "1", "negative": "2", "neutral": "3", "positive": "4", "very positive": "5"},
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="none stated by the authors (research use; sentences from Rotten Tomatoes)",
    source="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality over a Sentiment Treebank (EMNLP)",
    hub=HubDataset("SetFit/sst5", columns={"text": "text", "label": "label_text"}),
    get="It is read from SetFit/sst5 on the Hugging Face hub (8,544 / 1,101 / 2,210 sentences), its `label_text` as "
    "our `label`; elsewhere: https://nlp.stanford.edu/sentiment/, the whole sentences of the trees",
)
