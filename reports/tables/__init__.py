"""The tables, one a file; `model` says what a table is, `reports.render` prints it."""
