"""The command line: one parser, a file for each command."""
