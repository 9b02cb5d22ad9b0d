"""What changed: windows against a reference, causes, incidents. Pure functions over profiles."""
