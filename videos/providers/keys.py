"""Provider keys: which environment variables may hold one, and their values.

Staff choose both the variable and the server that its value is sent to. So a variable that holds any other secret, such
as SECRET_KEY, must never be read for a channel.
"""

import os
import re

from django.conf import settings
from django.utils.translation import gettext as _

# Settings of this project that do hold provider keys.
OF_PROVIDERS = {"OPENAI_API_KEY", "OPENROUTER_API_KEY", "XAI_API_KEY", "FAL_KEY", "SIMULATOR_KEY"}


def refusal(name: str) -> str:
    """Why this variable may not hold a channel's key; empty if it may. An empty name means a channel without a key."""
    is_setting = name.upper() in settings.SETTING_NAMES and name not in OF_PROVIDERS
    if not name or (re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*_KEY", name) and not is_setting):
        return ""
    if is_setting:
        return _("%(name)s is a setting of this site, not the key of a provider.") % {"name": name}
    return _(
        "%(name)s is no name for a key: it consists of letters, digits and _, and has to end in _KEY."
    ) % {"name": name}


def read(name: str) -> str:
    """The key in this variable; empty if it is not set or may not be read."""
    return "" if refusal(name) else os.environ.get(name, "")
