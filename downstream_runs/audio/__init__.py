"""Decoding and effects of audio files, over libsndfile and soxr."""
