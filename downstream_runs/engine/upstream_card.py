"""What a run measures of its upstream before it begins, says in one line, and keeps in its result."""

from __future__ import annotations

import sys

from downstream_runs.core import records
from downstream_runs.engine.trained_run import TrainedRun


def introduce(run: TrainedRun) -> None:
    """Measure the card, into `run.card`, and say it: in the log, and where a run begins on the terminal.

    It is None for an upstream that cannot encode the audio of the measurement, which no run needs. UsageError
    for one that gives the features of a batch in another order than the waveforms.
    """
    from downstream_runs.upstreams import card, card_words
    from downstream_runs.upstreams.probes import WrongOrder

    plan = run.plan
    try:
        measured = card.measure(run.components.upstream, plan.upstream, thorough=False)
    except WrongOrder:
        raise
    except Exception as error:  # an upstream may raise anything
        said = f"{plan.upstream} could not be measured: {' '.join(str(error).split())}"
    else:
        run.card, said = measured.to_json(), card_words.line(measured)
    print(said, file=sys.stderr)
    if not records.begun(run.folder):
        print(said, file=run.terminal)
