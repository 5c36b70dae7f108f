"""What the programme is worth: pure statistics on facts of people. No database, no clock; days come in, figures go out.

Definitions: docs/worth.md. Estimates and intervals are of scipy; it takes a second to load, so who answers requests never
imports
this folder: it works in the processes that judge for readers.
"""
