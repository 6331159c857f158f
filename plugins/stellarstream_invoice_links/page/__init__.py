"""The pay page: what it shows, how its schedule is drawn, its templates and files."""
