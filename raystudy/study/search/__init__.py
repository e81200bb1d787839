"""Searching: which settings a variant is tried with, on which cells, and which settings win.

arm_search        the search of one arm as pure bookkeeping, which knows neither Ray nor files
space             what is moved: ranges of ``search_spaces/*.yaml`` or of the study, asked from an Optuna trial
winners           which configuration wins, from dev scores alone
tune_experiment   all searches of a study as one Ray Tune experiment
tune_trainable    what one trial of that experiment runs: it waits for the scores of its configuration's cells
report_rows       what a report says of the searches
"""
