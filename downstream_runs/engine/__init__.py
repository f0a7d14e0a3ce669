"""Runs a task: `run(plan)` trains, resumes, evaluates and writes `result.json` in its run directory."""

from downstream_runs.engine.folds import run
from downstream_runs.engine.plan import RunPlan, run_dir

__all__ = ["RunPlan", "run", "run_dir"]
