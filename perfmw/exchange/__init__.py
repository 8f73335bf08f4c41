"""One cacheable request from lookup to store: where HTTP rules, cache, ASGI and profiles meet."""
