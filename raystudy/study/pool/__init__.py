"""Training: cells wait in a queue, and long-lived groups of workers train them one after another.

cell_queue   the queue between the driver, the search and the groups of workers: one Ray actor
pool         the groups of workers, each a Ray Train run that takes cells from the queue
local        the same without Ray: one cell after another in this process
gpu_share    how many trainings a GPU takes at a time, by measured memory
failures     the record of a cell whose training raised an error
"""
