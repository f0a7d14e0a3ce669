"""The one error type of this package."""


class UpstreamError(ValueError):
    """A configuration, checkpoint or waveform that cannot be used.

    Its message is one sentence that names what was found, what was expected and what to do next;
    the command line prints it and exits with 2.
    """
