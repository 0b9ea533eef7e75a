"""What can go wrong that a caller may want to catch."""


class MasqueradeError(Exception):
    """Base of the errors below; its text says what was expected, what came, and what to do."""


class MissingData(MasqueradeError):
    """A data set, a file or a run is not where it was looked for."""


class WrongPath(MissingData):
    """A path that the user gave leads nowhere, or to something of another kind."""


class BadImages(MasqueradeError):
    """Images cannot be used, and `data.strict=true` forbids to go on without them."""


class Diverged(MasqueradeError):
    """A loss became nan or infinite."""


class Collapsed(MasqueradeError):
    """Every image has the same embedding, and the settings ask to stop then."""


class CannotResume(MasqueradeError):
    """A run folder holds a run with other settings, or one that cannot be read."""


class Interrupted(MasqueradeError):
    """Ctrl-C or SIGTERM came; the run is saved and can go on.

    Attributes:
        signal: The number of the signal, 2 for Ctrl-C and 15 for SIGTERM.
    """

    def __init__(self, text: str, signal: int) -> None:
        super().__init__(text)
        self.signal = signal
