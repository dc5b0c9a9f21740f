"""Streams and jobs of a session, made up."""

from rtbrain.view.streams.session import SessionUpdate
from tests.view.stub import StubSession


class Streams(StubSession):
    """The streams of a session: it notes how it was opened, and whether it was closed."""

    made: list["Streams"] = []  # noqa: RUF012

    def __init__(self, **named):
        super().__init__()
        self.named, self.closed, self.now = named, False, 1.0
        Streams.made.append(self)

    def poll(self):
        return SessionUpdate(self.now)

    def close(self):
        self.closed = True


class Runs:
    """A job that runs until it is asked to end."""

    def __init__(self, name="decoder"):
        self.name, self.t_start, self.progress = name, 0.0, {}
        self.stopping = self.killed = self.earlier = False
        self.running, self.exit_code, self.output, self.argv = True, None, (), ("", "")

    def log_end(self):
        pass

    def stop(self):
        self.stopping, self.running = True, False

    def kill(self):
        self.killed = self.stopping = True
        self.running = False

    def end(self, exit_code, *output):
        """End by itself."""
        self.running, self.exit_code, self.output = False, exit_code, output
