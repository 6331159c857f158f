"""The resources of the framework, one module each: its models, its handlers, and its routes."""
