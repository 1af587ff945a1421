# The start file of our previous host, whose control panel asked for this name. Its servers set
# DJANGO_SETTINGS_MODULE to something else, so it has to be assigned here.
import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings.production"

application = get_wsgi_application()
