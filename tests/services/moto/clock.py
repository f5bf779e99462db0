"""The clock of heartbeats and tokens: the machine's, which tests move forward."""

import time


class Clock:
    """Seconds since some moment."""

    def __init__(self):
        self.ahead = 0.0

    def now(self):
        """The time."""
        return time.monotonic() + self.ahead

    def advance(self, seconds):
        """That much passes at once."""
        self.ahead += seconds


CLOCK = Clock()
