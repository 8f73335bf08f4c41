"""Learns when a key will be asked for again, from what became of keys like it. Trains beside the requests."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from perfmw_ml.table import Rows

log = logging.getLogger("perfmw.ml")

MOST_EXAMPLES = 8_192
_FIRST, _AGAIN = 512, 4_096
_TREES, _DEPTH, _RATE = 30, 5, 0.2
_LEAF = 20


class Model(Protocol):
    """What scikit-learn's regressors are."""

    def predict(self, rows: Rows) -> npt.NDArray[np.float64]: ...


class Brain:
    """Examples, and a model of them that is made anew now and then, by a thread that ends when it is done.

    :param threaded: False trains where the examples are told, for what runs a trace without a clock.
    :param before: a brain whose model serves until there is one of its own.
    """

    def __init__(self, *, threaded: bool = True, before: Brain | None = None) -> None:
        self._model: Model | None = None
        self._before = before
        self.trained = 0
        self._examples: deque[tuple[npt.NDArray[np.float32], float]] = deque(maxlen=MOST_EXAMPLES)
        self._since = self._seen = 0
        self._threaded = threaded
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        _brains.add(self)

    @property
    def model(self) -> Model | None:
        """None before the first training."""
        if self._model is None and self._before is not None:
            return self._before.model
        return self._model

    @property
    def examples(self) -> int:
        """How many are remembered."""
        return len(self._examples)

    def learn(self, row: npt.NDArray[np.float32], label: float) -> None:
        """What came of a row; trains when there is enough that is new."""
        with self._lock:
            self._examples.append((row, label))
            self._since += 1
            self._seen += 1
            if self._since < min(_AGAIN, max(_FIRST, self._seen // 2)) or self._thread is not None:
                return
            self._since = 0
            self._train()

    def train_on(self, work: Callable[[], object]) -> None:
        """Do ``work``, which tells examples, in a thread of its own."""

        def run() -> None:
            try:
                work()
            except Exception as error:
                log.error("learning from a trace failed: %s", error)
            finally:
                self._thread = None

        self._start(run)

    def join(self, seconds: float) -> None:
        """Wait for a training that is under way."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _train(self) -> None:
        examples = list(self._examples)
        rows = np.array([row for row, _ in examples])
        labels = np.array([label for _, label in examples])
        if self._threaded:
            self._start(lambda: self._fit(rows, labels))
        else:
            self._fit(rows, labels)

    def _start(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name="perfmw-ml-train", daemon=True)
        self._thread.start()

    def _fit(self, rows: Rows, labels: npt.NDArray[np.float64]) -> None:
        try:
            # its import takes a second or more, and is for the thread
            from sklearn.ensemble import (  # type: ignore[import-untyped, unused-ignore]
                GradientBoostingRegressor,
            )

            model = GradientBoostingRegressor(
                n_estimators=_TREES,
                max_depth=_DEPTH,
                learning_rate=_RATE,
                min_samples_leaf=_LEAF,
                subsample=0.5,
                random_state=self.trained,
            )
            model.fit(rows, labels)
            self._model = model
        except Exception:
            log.exception("training failed; the model stays as it was")
        finally:
            self.trained += 1
            if self._threaded:
                self._thread = None


_brains: weakref.WeakSet[Brain] = weakref.WeakSet()


def join_all(seconds: float = 10.0) -> None:
    """Wait for every training that is under way."""
    for brain in list(_brains):
        brain.join(seconds)
