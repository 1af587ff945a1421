# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""An app with an AMQP class of its own, which routes by itself."""
from celery import Celery
from celery.app.amqp import AMQP


class House(AMQP):
    """Routes everything to one place."""

    @property
    def router(self):
        """Return a router that knows nothing of `task_routes`."""
        return self.Router(queues=None)

    routes = ()


app = Celery("plain", broker="memory://", amqp=House)
