"""Pages for people: the dashboard and the documentation, rendered here, without assets from elsewhere."""
