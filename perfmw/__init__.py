"""perfmw: the performance and caching layer for ASGI apps."""

__version__ = "0.1.0"
