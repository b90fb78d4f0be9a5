"""What can go wrong, sorted by who can mend it; each kind has its own exit status.

A message is one line: what was wrong, where, and what to do about it.
"""


class NearedgeError(Exception):
    """Base of every error a person is meant to read. `status` is the exit status of the program."""

    status = 1


class InputError(NearedgeError):
    """The model, its description, its data or a manifest is at fault."""

    status = 1


class UsageError(NearedgeError):
    """The command line is at fault."""

    status = 2


class GateError(NearedgeError):
    """A gate did not hold: accuracy, parity, transfer budget, self-test."""

    status = 3


class OutsideError(NearedgeError):
    """The network, a registry or a git remote is at fault."""

    status = 4


class UnsupportedError(NearedgeError):
    """The input is valid, and we do not support it."""

    status = 5


class MachineError(NearedgeError):
    """The machine we run on is at fault: disk full, read-only folder, no memory."""

    status = 6


INTERRUPTED = 130
BUG = 70
