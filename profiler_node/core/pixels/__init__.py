"""Images as arrays: raw encodings and compressed formats."""
