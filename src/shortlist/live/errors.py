"""What can go wrong with a live state."""


class LiveStateError(ValueError):
    """The state cannot be opened, read or written; what was acknowledged before is still there."""


class KeyReusedError(ValueError):
    """A key that came before, with other changes: nothing is applied."""
