"""A trained method as a folder that can be used: written, opened, asked for answers.

description     ``raystudy.json``: what a model answers and how its texts are read; which folders are refused
write           a folder from a training that just ended; whole or not at all
load            a model from its folder, and its answers to texts

A folder holds safetensors and JSON only. Where transformers can compute the same answers, the folder is one of its own
(``AutoModelForSequenceClassification``, ``AutoModelForTokenClassification``, ``pipeline``); every folder opens with
`load.load_model`.
"""
