"""The model in the end: which recorded training is kept, trained once more, with a card that says what it is.

recipe      a study in which the method too is chosen on dev: only the best recipe is confirmed (`fit`)
winner      the best recorded training of an arm by dev, and its weights as a folder
card        the card of a model, README.md of its folder
"""
