"""Domain taxonomies: is the second term a hypernym of the first, among animals, plants and vehicles; from WordNet.

MFT's Taxonomy data are pairs of Luu et al. 2016 from the taxonomies of Velardi et al. 2013 (8,650 / 1,081 / 1,076 pairs
of animals, 6,188 / 769 / 781 of plants, 842 / 114 / 103 of vehicles). These files could not be found, so other pairs of
the same three domains stand in for them, and scores on them are not comparable with the paper's. Positive: a term and
one of its ancestors inside the domain. Negative, as many: two random terms of the domain, the first no kind of the
second in WordNet, in three cases of four with a second term that is a hypernym of something. So the negatives are
derived, not annotated.
"""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    labels=("hypernym", "other"),
    label_text={"hypernym": "hypernymy", "other": "non-hypernymy"},
    metric="accuracy",
    metrics=("macro_f1",),
    positive="hypernym",
    length=32,
    licence="CC BY 4.0 (Open English WordNet); term lists of plants and vehicles Apache 2.0 (TAXI)",
    source="made of Open English WordNet after Velardi, Faralli, Navigli 2013, OntoLearn Reloaded (Computational "
    "Linguistics), and Luu et al. 2016, Learning Term Embeddings for Taxonomic Relation Identification (EMNLP)",
    get="The pairs that MFT used were not found at any public address; make others of the same domains: from "
    "src/yaml/noun.{animal,plant,artifact}.yaml of https://github.com/globalwordnet/english-wordnet take the terms "
    "below animal, plant and vehicle (vocabularies/{plants,vehicles}.terms.csv of https://github.com/uhh-lt/taxi lists "
    "513 plants and 93 vehicles); write every pair of a term and its ancestor inside the domain as hypernym, and as "
    "many random pairs of which that is not true as other, the term as `text`, the candidate hypernym as `text_pair`; "
    "split each domain 80 : 10 : 10 (the paper's ratio)",
    domains=("animal", "plant", "vehicle"),
)
