"""Tables as Markdown, LaTeX, CSV and HTML, one file a format."""
