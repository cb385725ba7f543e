"""The one error that a user's input may cause."""


class InputError(Exception):
    """Say in one line what was expected, what was found, and where.

    The command line prints the line to stderr and exits with code 2; nothing else is printed.
    """
