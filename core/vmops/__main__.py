"""`python -m vmops`: the same as the program `vmops`."""

from vmops.cli import main

main()
