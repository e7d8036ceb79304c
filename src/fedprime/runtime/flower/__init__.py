"""Clients behind Flower: simulated in several processes here, or at sites on other machines.

Nothing outside this package imports Flower, which is an optional extra. It reports nothing to anybody,
installs nothing and looks for no updates.
"""

import os

# Before Flower and Ray are imported, which look at these once.
os.environ |= {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # the clients are the work, not something beside it
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
