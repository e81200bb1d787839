"""The cache folder, which all studies share: what one training has computed and another can use again.

stage_store   constants and results of transfer stages, computed once, whoever asks
cache         what lies in the folder, how much room it takes, and what of it may go
"""
