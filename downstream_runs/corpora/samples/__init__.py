"""Small real speech of two speakers, laid out as Libri2Mix; for other tasks it is a table (`corpora.tables`)."""
