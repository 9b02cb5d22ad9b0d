# The environment of a checkout that `make setup` has made ready: source tools/env.bash
_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [ ! -f "$_root/install/local_setup.bash" ]; then
    echo "not built yet: make setup" >&2
    return 1
fi
. "$_root/.venv/bin/activate"
export AMENT_PREFIX_PATH="${AMENT_PREFIX_PATH:-$_root/.venv}"
export ROS_LOG_DIR="${ROS_LOG_DIR:-$_root/log/ros}"
. "$_root/install/local_setup.bash"
unset _root
