"""Stands in for `ros2 bag play` where there is no rosbag2: its options of Humble, to the player.

A loop, which is endless there, ends after LOOPS times through.
"""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path

PLAYER = Path(__file__).parent.parent.parent / 'demo' / 'player.py'
LOOPS = 3

parser = ArgumentParser()
parser.add_argument('verb', choices=['bag'])
parser.add_argument('subverb', choices=['play'])
parser.add_argument('bag')
for name in ('--rate', '--clock', '--start-offset', '--delay'):
    parser.add_argument(name, type=float, required=True)
parser.add_argument('--wait-for-all-acked', type=int, required=True)
parser.add_argument('--disable-keyboard-controls', action='store_true', required=True)
parser.add_argument('--loop', action='store_true')
given = parser.parse_args()
command = [sys.executable, PLAYER, given.bag, '--rate', given.rate, '--clock', given.clock]
command += ['--start-offset', given.start_offset, '--delay', given.delay]
command += ['--loop', LOOPS if given.loop else 1]
os.execv(sys.executable, list(map(str, command)))  # noqa: S606 (a path of ours)
