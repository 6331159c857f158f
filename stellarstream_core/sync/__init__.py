"""The sync engine: plan what is missing, fetch it from sources, commit it, follow the tip."""
