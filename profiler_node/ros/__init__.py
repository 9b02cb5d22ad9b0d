"""The two ROS 2 nodes: the only folder that imports rclpy."""

import os

# Before NumPy is imported: threads of its linear algebra would wait, spinning, for the next message.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
