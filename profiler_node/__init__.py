"""Statistical profiles of robot sensor data: small, mergeable, made on the robot."""
