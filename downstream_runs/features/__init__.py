"""Features of a frozen upstream, computed once for each utterance and used in every pass."""
