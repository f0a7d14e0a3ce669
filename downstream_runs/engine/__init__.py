"""Runs a task: `run(plan)` trains, resumes, evaluates and writes `result.json` in its run directory."""

from downstream_runs.core.run import RunPlan, run_dir
from downstream_runs.engine.session import run

__all__ = ["RunPlan", "run", "run_dir"]
