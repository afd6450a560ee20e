"""Python imports this when it starts with the folder in PYTHONPATH: so every process of a test run is Mac-like."""

import mac_like_conditions

mac_like_conditions.apply()
