"""Upstreams as runs use them."""
