"""The node `bridge`: profiles in, objects in a store out."""

import sys
from copy import copy
from dataclasses import dataclass

from edge_profiler.msg import Profile as ProfileMessage

from profiler_node.bridge.config import BridgeConfig
from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.spool import Spool
from profiler_node.bridge.transport import sender
from profiler_node.bridge.uploader import Uploader
from profiler_node.ros.convert import spool_entry
from profiler_node.ros.parameters import read_config, reject_unknown
from profiler_node.ros.process import ProcessNode, run
from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.ros.state import state_path
from profiler_node.settings import check_ranges, setting

_WAITING = 10_000  # profiles that may come at once, as when many windows close together
_LAST_UPLOAD_S = 1.0  # with the wait for the profiler, five seconds at most


@dataclass(frozen=True)
class BridgeNodeConfig:
    """Where profiles wait and where they go."""

    store_url: str = setting(
        '',
        'Where profiles go: a directory, or file://, s3://, gs://, az://, http(s)://. Credentials '
        'come from the environment. Empty: the folder store in state_dir.',
    )
    state_dir: str = setting(
        '', 'Folder for the spool. Empty: edge_profiler in ROS_HOME or ~/.ros.'
    )

    def __post_init__(self) -> None:
        check_ranges(self)


class Bridge(ProcessNode):
    """Makes profiles durable as they come in, and uploads them in a thread of its own."""

    drain_s = 4.0  # a profiler that is stopped with us takes that long

    def __init__(self) -> None:
        super().__init__('bridge', automatically_declare_parameters_from_overrides=True)
        places = read_config(self, BridgeNodeConfig, '')
        config = read_config(self, BridgeConfig, 'upload')
        reject_unknown(self)
        folder = state_path(places.state_dir) / self.get_fully_qualified_name().strip('/')
        send = sender(places.store_url or str(folder / 'store'), config.timeout_s)
        self._spool = Spool(folder / 'spool.sqlite3')
        self._uploader = Uploader(self._spool, send, config)
        self._uploader.start()
        qos = copy(PROFILES_QOS)
        qos.depth = _WAITING
        self.create_subscription(ProfileMessage, 'profiles', self._on_profile, qos)

    def _on_profile(self, message: ProfileMessage) -> None:
        self.handled += 1
        try:
            self._spool.put(spool_entry(message))
        except SpoolError as error:
            self.get_logger().error(f'profile of {message.stream} not kept: {error}')

    def expects_more(self) -> bool:
        """Whether a profiler is still there: stopped together with us, it has yet to flush."""
        return self.count_publishers(self.resolve_topic_name('profiles')) > 0

    def finish(self) -> None:
        """Upload what is left, if the link is up; what is not confirmed stays in the spool."""
        if self._uploader.stop(_LAST_UPLOAD_S):
            profiles, batches = self._spool.backlog()
            if profiles or batches:
                self.get_logger().warning(
                    f'{profiles} profile(s) and {batches} batch(es) wait for the next start'
                )
            self._spool.close()


def main() -> int:
    """Run the node as a process."""
    return run('bridge', Bridge)


if __name__ == '__main__':
    sys.exit(main())
