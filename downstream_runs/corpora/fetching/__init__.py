"""Corpora by command: what is published where, the plan, the archives, and links to what a lab keeps."""
