"""``python -m asennp``: the command line."""

from asennp.cli import main

main()
