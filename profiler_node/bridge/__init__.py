"""Gets opaque payloads off the robot: spool, batches, uploader, transport."""
