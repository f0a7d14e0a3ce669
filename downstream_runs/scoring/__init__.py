"""The SUPERB metrics, one scorer a file; every scorer returns counts, from which rates follow."""
