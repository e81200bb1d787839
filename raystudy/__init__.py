"""Which way of transferring knowledge from other tasks helps a low-resource text task, and is the difference real?

A map of the package, bottom to top; each room imports only from those above it in this list:

    errors, files, plugins  what is wrong and where; whole files or none; modules that are found by name
    code_versions           which code and libraries make a result
    huggingface             repositories of the Hugging Face hub as folders
    yamlfile, catalogue     YAML with line numbers; variants and parameters (``search_spaces/``)
    spec, studyfile         Arm, Spec, Record; the study file
    metrics, tasks          scores of arrays; labelled data sets
    data, nn                few-shot cuts, draws, ragged batches; encoder, losses, gradients, data-parallel workers
    methods                 one file per algorithm
    analysis                statistics, tables, figures, the report (HTML, Markdown, LaTeX, JSON): from records alone
    train, evaluate         run one Spec and judge it, without ray
    example_scores          what the weights of Meta-DTL and MFT have to work with in a suite, without training
    exhibits                the papers' tables and figures: what they train, and ours beside the published
    machine                 what this machine or a cluster can do for a study: cores, memory, GPUs, bfloat16, locks
    study                   plan, search, pool of Ray Train groups, the folder of results, the store of shared stages
    cluster, supervise      ray for the duration of a run; a run that is watched
    run, live_view, commands  the command line

From Python, one training is ``train.run(spec, Places())``, and a finished study is
``study.folder.records.Results(folder).scan()``.
"""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("raystudy")
except PackageNotFoundError:  # on the path, but not installed: `doctor` says so
    __version__ = "of unknown version"
