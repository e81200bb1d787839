"""``python -m raystudy``: the commands (raystudy/commands/) and how their mistakes are told.

Only `run`, `fit`, `ambiguities` and `rerun` train. These, `plan`, `exhibits`, `scores`, `predict` and `doctor` load
torch; the others neither torch nor ray.
"""

from __future__ import annotations

import typer

from raystudy import run as running
from raystudy.commands import summary
from raystudy.commands.ambiguities import ambiguities
from raystudy.commands.cache import app as cache
from raystudy.commands.compare import compare
from raystudy.commands.dashboard import dashboard
from raystudy.commands.doctor import doctor
from raystudy.commands.exhibits import exhibits
from raystudy.commands.fit import fit
from raystudy.commands.methods import methods
from raystudy.commands.plan import plan
from raystudy.commands.predict import predict
from raystudy.commands.report import report
from raystudy.commands.rerun import rerun
from raystudy.commands.scores import scores
from raystudy.commands.status import status
from raystudy.commands.tasks import tasks
from raystudy.output_streams import run_with_safe_output

__all__ = ["main"]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    subcommand_metavar="COMMAND [ARGS]",
)
app.command(name="run", help="Run a study; the same as python -m raystudy.run.")(running.command)
for command in (
    methods,
    tasks,
    exhibits,
    scores,
    ambiguities,
    plan,
    doctor,
    status,
    dashboard,
    report,
    compare,
    rerun,
    fit,
    predict,
):
    app.command(short_help=summary(command))(command)
app.add_typer(cache, name="cache", short_help=cache.info.help)


@app.callback()
def options(version: running.Version = False) -> None:
    """Which way of transferring knowledge helps a low-resource text task, and is the difference real?"""


def main() -> None:
    """Entry point of ``python -m raystudy``: a user's mistake is a message and an exit code, never a traceback."""
    raise SystemExit(run_with_safe_output(lambda: running.exit_code_of(app)))


if __name__ == "__main__":
    main()
