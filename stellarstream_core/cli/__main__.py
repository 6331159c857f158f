"""``python -m stellarstream_core.cli``: the command without its script."""

from stellarstream_core.cli import main

main()
