"""Small real speech, laid out as the corpora of the tasks: each module has a `lay_out(source, dest)`."""
