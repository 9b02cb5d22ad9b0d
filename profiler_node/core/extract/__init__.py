"""What is said of a message: one extractor for each kind of sensor."""
