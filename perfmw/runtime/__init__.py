"""The composition root: settings and plugins become one running whole."""

from perfmw.runtime.runtime import Runtime, invalidate

__all__ = ["Runtime", "invalidate"]
