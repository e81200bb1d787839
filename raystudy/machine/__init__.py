"""What this machine, or the machines of a cluster, can do for a study.

`raystudy doctor` prints what is measured here, and a run asks the same before it starts.

resources       versions, cores, memory and GPUs of one machine
bfloat16        whether the processor has arithmetic for bfloat16, measured by the clock
filesystem      whether a folder can be written, whether locks hold in it, and whether its clock is right
ray_start       what keeps a Ray of this machine's own from starting
cluster_nodes   whether every node of a running cluster is like this machine and shares the cache folder
"""
