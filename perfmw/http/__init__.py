"""HTTP caching as pure functions: no event loop, no clock, no I/O; times come in as unix seconds.

Where to look: ``reuse`` decides what a request gets, ``storing`` what a response leaves behind, ``serve``
builds the answer from a stored response, ``validation`` folds a 304 or a HEAD into it, ``invalidation``
says which URLs a write outdates, ``status`` words it for Cache-Status and ``explain`` for people.
Sections named in docstrings are those of RFC 9110 (semantics) and RFC 9111 (caching).
"""
