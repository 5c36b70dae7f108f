"""The command line of emtrack: one module for each group of commands.

Each command is thin: it reads arguments, calls one function, and says what happened. It imports what it needs when it is
called, so that `evaluate` loads no server and `--help` nothing at all.

Exit codes: 0 done; 1 failed while running; 2 the call, a file or a setting does not fit.
"""

from emtrack.cli.main import app, main

__all__ = ["app", "main"]
