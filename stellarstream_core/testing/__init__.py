"""The kit for plugin authors: sources that follow a script, and suites that a backend must pass."""
