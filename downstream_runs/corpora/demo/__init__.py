"""Synthetic corpora in the layouts of the real ones, to try a task before its data is there."""
