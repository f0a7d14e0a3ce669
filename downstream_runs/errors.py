"""The two ways in which a command ends badly."""


class UsageError(Exception):
    """Wrong use or missing input: one sentence for the user, exit code 2."""


class RunFailed(Exception):
    """A run that started and could not be finished: one sentence for the user, exit code 1."""


class Diverged(RunFailed):
    """A loss or gradient that is not a finite number."""
