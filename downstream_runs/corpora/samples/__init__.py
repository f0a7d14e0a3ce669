"""Small real speech of two speakers, laid out as Libri2Mix; for other tasks see `corpora.tables`."""
