"""What lies in the folder of a study, ``results/<study>``, and who reads and writes it.

The records are the truth, and everything else is for people or can be built again from them.

records             ``cells/<id>/record.json`` and its predictions: one record per finished or failed cell
manifest            ``manifest.json``: which records belong to the study now, its searches, what made them
report_files        ``report/``: built from the records and the manifest alone
progress            how far a study is, read from its folder
live_status         ``logs/now.json``: what a running driver does now
tensorboard         ``tensorboard/``: events for TensorBoard
optuna_journal      ``optuna.journal``: the searches, for optuna-dashboard
dev_errors          how surely the dev examples of a cell say its score
ensembles           what the best configurations of a search answer together
best_settings       ``best/<arm>.yaml``: the settings that won
background_writer   runs a writer that is slow or may fail (TensorBoard's) in a thread of its own
"""
