"""The nouns that every room uses: task, result, journal; and what decides a run's random numbers."""
