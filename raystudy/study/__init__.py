"""From a study file to records: the only home of ray and optuna.

plan      which specs, at what cost            search    generations of configurations, and who won
conduct   the whole run, in order              tuning    the same search as one Ray Tune experiment
hub       the queue of cells                   trial     what one Tune trial runs
pool      Ray Train worker groups              local     one spec after another in this process
records   what is done: the one truth          stages    constants and transfer results, computed once
"""
