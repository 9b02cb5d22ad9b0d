"""The node `bridge`: profiles in, objects in a store out."""

import socket
import sys
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from functools import partial

from edge_profiler.msg import Profile as ProfileMessage
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from profiler_node.bridge.config import BridgeConfig, SpoolConfig
from profiler_node.bridge.errors import ConfigurationError, SpoolError
from profiler_node.bridge.health import spool_status, upload_status
from profiler_node.bridge.intake import Intake
from profiler_node.bridge.spool import Spool
from profiler_node.bridge.transport import Send, sender
from profiler_node.bridge.uploader import Uploader
from profiler_node.health import Status
from profiler_node.ros.convert import spool_entry
from profiler_node.ros.diagnostics import Diagnostics
from profiler_node.ros.parameters import read_config, reject_unknown
from profiler_node.ros.process import ProcessNode, run
from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.ros.state import state_path
from profiler_node.settings import check_ranges, setting
from profiler_node.stores import StoreUrlError, shown
from profiler_node.wire.codec import merge

_WAITING = 10_000  # profiles that may come at once, as when many windows close together
# Together with drain_s five seconds at most.
_LAST_PUT_S = 0.4
_LAST_UPLOAD_S = 0.6


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


def _connect(url: str, timeout_s: float) -> Send:
    if url.partition('?')[0] != shown(url).partition('?')[0]:
        raise ConfigurationError(
            f'{shown(url)}: store_url holds credentials, and everybody may read a parameter; they '
            'belong into the environment (EDGE_PROFILER_AUTHORIZATION for HTTP)'
        )
    try:
        return sender(url, timeout_s)
    except StoreUrlError as error:
        raise ConfigurationError(str(error)) from None


class Bridge(ProcessNode):
    """Makes profiles durable as they come in, and uploads them: each in a thread of its own."""

    drain_s = 3.8  # a profiler that is stopped with us takes that long

    def __init__(self) -> None:
        super().__init__('bridge', automatically_declare_parameters_from_overrides=True)
        places = read_config(self, BridgeNodeConfig, '')
        config = read_config(self, BridgeConfig, 'upload')
        self._spool_config = read_config(self, SpoolConfig, 'spool')
        reject_unknown(self)
        folder = state_path(places.state_dir) / self.get_fully_qualified_name().strip('/')
        self._url = places.store_url or str(folder / 'store')
        self._spool = Spool(folder / 'spool.sqlite3', self._spool_config, merge)
        self._uploader = Uploader(
            self._spool, partial(_connect, self._url, config.timeout_s), config
        )
        self._intake = Intake(self._spool, self._uploader.hurry)
        self._intake.start()
        self._uploader.start()
        qos = copy(PROFILES_QOS)
        qos.depth = _WAITING
        self.create_subscription(ProfileMessage, 'profiles', self._on_profile, qos)
        self._accept_hints()
        self._diagnostics = Diagnostics(self, socket.gethostname(), self._statuses)

    def _accept_hints(self) -> None:
        uploader = self._uploader
        switches = {'~/metered': uploader.set_metered, '~/online': uploader.set_online}
        for topic, switch in switches.items():
            self.create_subscription(
                Bool, topic, lambda message, switch=switch: switch(message.data), 1
            )
        self.create_service(SetBool, '~/set_metered', self._on_set_metered)
        self.create_service(Trigger, '~/flush', self._on_flush)

    def _on_profile(self, message: ProfileMessage) -> None:
        self.handled += 1
        self._intake.take(spool_entry(message))

    def _on_set_metered(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        self._uploader.set_metered(request.data)
        response.success = True
        response.message = 'only what is urgent is sent' if request.data else 'all is sent'
        return response

    def _on_flush(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._uploader.flush()
        backlog = self._intake.backlog
        response.success = True
        response.message = (
            f'{backlog.profiles} profile(s) and {backlog.batches} batch(es) are tried now'
        )
        return response

    def _statuses(self) -> Iterable[Status]:
        yield spool_status(self._intake, self._spool_config)
        yield upload_status(self._uploader, shown(self._url))

    def expects_more(self) -> bool:
        """Whether a profiler is still there: stopped together with us, it has yet to flush."""
        return self.count_publishers(self.resolve_topic_name('profiles')) > 0

    def finish(self) -> None:
        """Upload what is left, if the link is up; what is not confirmed stays in the spool."""
        if not self._intake.stop(_LAST_PUT_S):
            lost = self._intake.waiting
            self.get_logger().error(f'{lost} profile(s) not kept: {self._intake.error}')
        if not self._uploader.stop(_LAST_UPLOAD_S):
            return
        try:
            backlog = self._spool.backlog()
        except SpoolError as error:
            self.get_logger().error(f'what waits is not known: {error}')
            return
        if backlog.profiles or backlog.batches:
            self.get_logger().warning(
                f'{backlog.profiles} profile(s) and {backlog.batches} batch(es) wait for the next '
                'start'
            )
        self._spool.close()


def main() -> int:
    """Run the node as a process."""
    return run('bridge', Bridge)


if __name__ == '__main__':
    sys.exit(main())
