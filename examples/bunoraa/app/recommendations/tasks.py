import logging

from celery import shared_task
from django.core.cache import cache

from . import engine

logger = logging.getLogger(__name__)


def cache_key(product_id):
    return f"recommendations:{product_id}"


@shared_task
def train_model(epochs=60, rows=5000):
    engine.get_model.cache_clear()
    model = engine.get_model(epochs, rows)
    logger.info("Trained on %s rows, loss %.4f", rows, model.loss)


@shared_task
def score_product(product_id):
    scores = engine.get_model().similar(product_id)
    cache.set(cache_key(product_id), scores, 600)
    logger.info("Scored product %s", product_id)
