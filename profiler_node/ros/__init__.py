"""The two ROS 2 nodes: the only folder that imports rclpy."""

import os

# Before NumPy is imported: the threads of its linear algebra spin while they wait for work.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
