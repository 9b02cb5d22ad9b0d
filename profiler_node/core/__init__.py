"""Decode, extract, sketch, window, profile: no ROS, file, socket, thread or clock in here."""
