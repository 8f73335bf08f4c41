"""The function cache: ``@cached`` for one call, ``@cached_many`` for many at once, ``@per_request``."""
