"""The HTTP API: typed routes, what holds across all of them, and the resources of the framework."""
