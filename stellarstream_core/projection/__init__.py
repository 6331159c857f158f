"""Following the store's positions and folding events into projected state, and reading what was folded."""
