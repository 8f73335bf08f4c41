"""Warming up: asking for URLs before anybody does, so that the cache has them."""
