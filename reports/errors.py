"""The one error type of this package."""


class ReportError(Exception):
    """A result file or row that cannot be used: one sentence for the user, exit code 2."""
