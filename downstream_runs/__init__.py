"""The ten SUPERB downstream tasks, run and scored from one command."""
