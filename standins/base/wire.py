"""What goes over every wire: JSON objects."""

from typing import Any

Json = dict[str, Any]
