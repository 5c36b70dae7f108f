"""Zones out of the files that people draw them in: read, checked, entered as sets, and drawn. For the command line only: what
reads such files is large, and the service never loads it."""
