"""Small real speech laid out as the corpora of the tasks, a corpus a module."""
