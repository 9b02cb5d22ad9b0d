"""What a fleet owner does with profiles that have arrived."""
