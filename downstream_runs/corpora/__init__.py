"""Speech corpora: finding and checking them, their length tables, and small ones to try the path with."""
