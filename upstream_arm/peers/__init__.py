"""Compressed students of other papers, read from their authors' files: one module a family."""
