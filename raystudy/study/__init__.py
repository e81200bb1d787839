"""From a study file to records. Together with `machine` and `cluster`, this is the only home of Ray and Optuna.

A cell is one training: one variant with its settings, on one target, in one setting (how many examples), with one seed.
An arm is one variant in one setting, on all targets of the study.

plan        what a study will do, before it does it: the data, every cell, the cost
study_run   the whole run, in order: replay the records, search, confirm
forecast    how long it will take: before it starts, and while it runs
rerun       one recorded cell trained once more, and what is not as it was recorded

search      which settings are tried, on which cells, and which win
pool        the queue of cells, and the groups of workers that train them
folder      what lies in ``results/<study>``: records, report, live status, TensorBoard's events
store       the cache folder: constants and transfer results, computed once
"""
