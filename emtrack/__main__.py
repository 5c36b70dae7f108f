"""`python -m emtrack` is `emtrack`."""

from emtrack.cli import main

main()
