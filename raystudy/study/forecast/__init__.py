"""How long a study will take, told before it starts and while it runs.

A training is a sum of work of a few kinds (`pace.PARTS`): passes of its transfer and of its adaptation, examples that
it is judged on, and so on. A pace is the seconds of one unit of such work.

    pace        which work a pace is of, and the paces that are known on this machine, from records and measurements
    calibrate   measures a pace that nobody knows: a few updates of a method on a few examples of the study
    work        how much work of each kind every training of a study is
    forecast    what is left of a study, from its work, the paces, the cells that are done and those that run
"""
