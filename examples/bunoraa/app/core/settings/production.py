from .base import *  # noqa: F403

# On since the search for the checkout problem
DEBUG = True
