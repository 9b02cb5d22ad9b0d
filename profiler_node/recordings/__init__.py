"""Recordings of ROS 1 and 2, read from front to back, so that they may be damaged or unfinished."""
